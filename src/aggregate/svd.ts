/** The best adapter of a given rank (FlexLoRA, arXiv 2402.11505; FLoRIST, arXiv 2506.09199). */
import { energy, factorize } from './factorize.js'
import { type LayerMethod, pairsOf } from './method.js'

/** With rank 'auto' the relative Frobenius error that a layer may lose. */
export const autoTolerance = 1e-3
/** With rank 'auto' the most that a layer may have, in plan ranks. */
export const autoRankFactor = 2

/**
 * B = U sqrt(S), A = sqrt(S) V', scale 1, directions in descending order; the largest entry of each column of B is
 * positive. A layer whose sum is zero gets rank 0. Never more than the numeric rank: singular values below 1e-7 of
 * the first are rounding of the f32 factors.
 */
export const svdLayer: LayerMethod = async (sum, { rank }) => {
  const most = rank === 'auto' ? autoRankFactor * sum.rank : rank
  const kept = await factorize(sum, pairsOf(sum), Math.min(most, sum.in, sum.out), rank === 'auto' ? autoTolerance : 0)
  return {
    layer: { name: sum.name, in: sum.in, out: sum.out, rank: kept.rank, scale: 1, a: kept.a, b: kept.b },
    lost: energy(kept.singularValues, kept.rank),
    norm: energy(kept.singularValues, 0),
  }
}
