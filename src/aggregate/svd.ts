/** The best adapter of a given rank (FlexLoRA, arXiv 2402.11505; FLoRIST, arXiv 2506.09199). */
import type { FactorizedDense } from '../native/binding/factors.js'
import { energy, factorize, factorizeDenseSum, factorizeMatrix } from './factorize.js'
import { type LayerMethod, type LayerOutcome, type LayerSum, pairsOf } from './method.js'
import { rankLimits } from './ranks.js'

/**
 * B = U sqrt(S), A = sqrt(S) V', scale 1, directions in descending order; the largest entry of each column of B is
 * positive. A layer whose sum is zero gets rank 0. Never more than the numeric rank: singular values below 1e-7 of
 * the first are rounding of the f32 factors. From the stacks while they are the smaller form, else from the dense sum.
 */
export const svdLayer: LayerMethod = async (sum, { rank }) => {
  const { most, tolerance } = rankLimits(sum, rank)
  if (sum.dense !== undefined) return outcomeOf(sum, await factorizeDenseSum(sum, most, tolerance))
  const kept = await factorize(sum, pairsOf(sum), most, tolerance)
  return {
    layer: { name: sum.name, in: sum.in, out: sum.out, rank: kept.rank, scale: 1, a: kept.a, b: kept.b },
    lost: energy(kept.singularValues, kept.rank),
    norm: energy(kept.singularValues, 0),
  }
}

/** The same of a dense matrix; `lost` is what the factors leave out of it. */
export async function matrixLayer(
  sum: LayerSum,
  values: Float32Array,
  most: number,
  tolerance: number,
): ReturnType<LayerMethod> {
  return outcomeOf(sum, await factorizeMatrix(sum, values, most, tolerance))
}

function outcomeOf(sum: LayerSum, kept: FactorizedDense): LayerOutcome {
  return {
    layer: { name: sum.name, in: sum.in, out: sum.out, rank: kept.rank, scale: 1, a: kept.a, b: kept.b },
    lost: kept.lost,
    norm: kept.norm,
  }
}
