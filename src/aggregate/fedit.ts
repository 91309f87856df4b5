/** The mean of the A and the mean of the B, apart (FedIT, arXiv 2305.05644): cheap, common, and not the sum. */
import { OneroundError } from '../errors.js'
import { sumNorm } from './factorize.js'
import { type LayerMethod, type LayerSum, type Part, pairsOf } from './method.js'
import { stackLayer } from './stack.js'

/**
 * scale * mean(B) mean(A), with the plan's scale and rank. The error is that of the published formula,
 * sum_i p_i s (B_i - mean B)(A_i - mean A). An overlay that all clients had is stacked beside it, exactly.
 */
export const feditLayer: LayerMethod = async (sum, options) => {
  const parts = sum.parts.filter((part) => part.weight !== 0)
  const [first] = parts
  if (first === undefined)
    throw new OneroundError('ARGUMENT', 'No client has a weight above 0.', {
      fix: 'Give at least one client a positive weight.',
    })
  checkAlike(sum, first, parts)
  const { rank, scale } = first
  const a = mean(parts, 'a')
  const b = mean(parts, 'b')
  const clients = pairsOf({ ...sum, overlay: [] })
  const lost = await sumNorm(sum, [...clients, { rank, a, b, weight: -scale }])
  const norm = await sumNorm(sum, pairsOf(sum))
  const averaged = { name: sum.name, in: sum.in, out: sum.out, rank, scale, a, b }
  if (sum.overlay.length === 0) return { layer: averaged, lost, norm }
  const { layer } = await stackLayer({ ...sum, parts: [{ client: 'mean', weight: 1, rank, scale, a, b }] }, options)
  return { layer, lost, norm }
}

/** In double, clients in the order of their names. */
function mean(parts: readonly Part[], factor: 'a' | 'b'): Float32Array {
  const total = new Float64Array(parts[0]?.[factor].length ?? 0)
  for (const part of parts) {
    const values = part[factor]
    for (let i = 0; i < total.length; i++) total[i] = (total[i] ?? 0) + part.weight * (values[i] ?? 0)
  }
  return Float32Array.from(total)
}

function checkAlike(sum: LayerSum, first: Part, parts: readonly Part[]): void {
  for (const part of parts) {
    if (part.rank === first.rank && part.scale === first.scale) continue
    throw new OneroundError(
      'REFUSED',
      `Layer '${sum.name}' has different ranks or scales at different clients, and fedit cannot average them.`,
      {
        found: `client '${first.client}' with rank ${first.rank}, scale ${first.scale}; client '${part.client}' with rank ${part.rank}, scale ${part.scale}`,
        expected: 'one rank and one scale for the layer',
        fix: "Aggregate with the method 'svd' or 'stack', which take mixed ranks.",
      },
    )
  }
}
