/**
 * All clients' factors side by side (FLoRA, arXiv 2409.05976): exact, and as large as all updates together.
 * The adapter holds every client's factors verbatim.
 */
import type { AdapterLayer } from '../adapter/adapter.js'
import type { FactorPair } from '../native/binding/factors.js'
import { type LayerMethod, type LayerSum, pairsOf } from './method.js'

/** B = [B_1 .. B_m], A = [p_1 s_1 A_1; ..; p_m s_m A_m], scale 1; clients in the order of their names. */
export const stackLayer: LayerMethod = async (sum) => ({ layer: sideBySide(sum, pairsOf(sum)), lost: 0, norm: 0 })

/** Any products in one layer of scale 1; their ranks add up. */
export function sideBySide(sum: Pick<LayerSum, 'name' | 'in' | 'out'>, pairs: readonly FactorPair[]): AdapterLayer {
  const rank = pairs.reduce((total, pair) => total + pair.rank, 0)
  const a = new Float32Array(rank * sum.in)
  const b = new Float32Array(sum.out * rank)
  let first = 0
  for (const pair of pairs) {
    for (let i = 0; i < pair.a.length; i++) a[first * sum.in + i] = pair.weight * (pair.a[i] ?? 0)
    for (let row = 0; row < sum.out; row++)
      b.set(pair.b.subarray(row * pair.rank, (row + 1) * pair.rank), row * rank + first)
    first += pair.rank
  }
  return { name: sum.name, in: sum.in, out: sum.out, rank, scale: 1, a, b }
}
