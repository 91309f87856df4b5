/** Means that are exact because all clients share one A: of B (FFA-LoRA, arXiv 2403.12313), or of B R (Fed-SB, 2502.15436). */
import type { LayerMethod, Part } from './method.js'
import { nothingToSum } from './refusals.js'

/**
 * mean(B) and A, with the plan's rank and scale; in double, clients in the order of their names, rounded once. That A is
 * the plan's in every update was checked before (checkUpdate). No rest and so no overlay: clients start from the same B.
 */
export const sharedALayer: LayerMethod = async (sum) => {
  const parts = sum.parts.filter((part) => part.weight !== 0)
  const [first] = parts
  if (first === undefined) throw nothingToSum()
  const { name, in: inDim, out } = sum
  const { rank, scale, a } = first
  return { layer: { name, in: inDim, out, rank, scale, a, b: meanB(parts, out * rank) }, lost: 0, norm: 0 }
}

function meanB(parts: readonly Part[], count: number): Float32Array {
  const total = new Float64Array(count)
  for (const { b, weight } of parts) for (let i = 0; i < count; i++) total[i] = (total[i] ?? 0) + weight * (b[i] ?? 0)
  return Float32Array.from(total)
}
