/** Updates longer than a bound are shortened to it before the sum (arXiv 1911.07963). */
import { OneroundError } from '../errors.js'
import type { CoefficientRule } from './coefficients.js'

/** p_i min(1, C / ||dW_i||), over all layers together; C is given, or the median of the norms. */
export const normClippingCoefficients: CoefficientRule = ({ clients, values }, shares, { clip }) => {
  const norms = clients.map((_, i) => Math.sqrt(Math.max(0, values[i * clients.length + i] ?? 0)))
  const bound = clip ?? median(norms)
  if (!(bound > 0) || !Number.isFinite(bound))
    throw new OneroundError('ARGUMENT', 'The norm that updates are clipped to is not usable.', {
      found: String(bound),
      expected: 'a number above 0',
      fix: 'Correct the clip.',
    })
  return norms.map((norm, i) => (shares[i] ?? 0) * (norm > bound ? bound / norm : 1))
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((x, y) => x - y)
  const half = Math.floor(sorted.length / 2)
  const upper = sorted[half] ?? 0
  return sorted.length % 2 === 1 ? upper : ((sorted[half - 1] ?? 0) + upper) / 2
}
