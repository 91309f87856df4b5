/** Krum and multi-Krum (arXiv 1703.02757): only updates that lie close to most others count. */
import { OneroundError } from '../errors.js'
import type { CoefficientRule } from './coefficients.js'
import { type Gram, squaredDistances } from './gram.js'
import type { MethodOptions } from './method.js'

/** The one update whose m - f - 2 nearest others are closest, alone; of equals the first by name. */
export const krumCoefficients: CoefficientRule = (gram, _, options) => {
  const [chosen] = byScore(gram, hostile(gram, options))
  return gram.clients.map((__, i) => (i === chosen ? 1 : 0))
}

/** The plain mean of the m - f best by the same score. */
export const multiKrumCoefficients: CoefficientRule = (gram, _, options) => {
  const f = hostile(gram, options)
  const kept = new Set(byScore(gram, f).slice(0, gram.clients.length - f))
  return gram.clients.map((__, i) => (kept.has(i) ? 1 / kept.size : 0))
}

/** f; the rule needs 2 f + 2 < m. */
function hostile({ clients }: Gram, { byzantine }: MethodOptions): number {
  const most = Math.floor((clients.length - 3) / 2)
  const f = byzantine ?? Math.max(0, most)
  if (clients.length >= 3 && Number.isSafeInteger(f) && f >= 0 && f <= most) return f
  throw new OneroundError('ARGUMENT', 'krum needs more updates than twice the hostile ones and two.', {
    found: `${clients.length} updates, ${f} hostile`,
    expected: clients.length < 3 ? 'at least 3 updates' : `at most ${most} hostile`,
    fix: 'Lower the number of hostile clients, or add updates.',
  })
}

function byScore(gram: Gram, f: number): number[] {
  const m = gram.clients.length
  const distances = squaredDistances(gram)
  const near = m - f - 2
  const scores = gram.clients.map((_, i) =>
    Array.from(distances.subarray(i * m, (i + 1) * m))
      .filter((__, j) => j !== i)
      .sort((x, y) => x - y)
      .slice(0, near)
      .reduce((sum, d) => sum + d, 0),
  )
  return scores.map((_, i) => i).sort((x, y) => (scores[x] ?? 0) - (scores[y] ?? 0) || x - y)
}
