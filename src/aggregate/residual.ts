/**
 * The mean factors and, beside them, exactly what they miss (FedEx-LoRA, arXiv 2410.09432): the rest
 * sum p_i s B_i A_i - s mean(B) mean(A) is there added to the base; here its factors are stacked behind the mean's, so
 * that one adapter is exact and its first r directions are FedIT's.
 */
import { meanFactors, pairOfMean } from './factor-mean.js'
import { errorOf, factorize } from './factorize.js'
import { type LayerMethod, pairsOf } from './method.js'
import { sideBySide } from './stack.js'

/** Rank: that of the mean plus the rest's numeric rank, at most the sum of all ranks. */
export const residualLayer: LayerMethod = async (sum) => {
  const mean = pairOfMean(meanFactors(sum, 'residual'))
  const rest = await factorize(sum, [...pairsOf(sum), { ...mean, weight: -mean.weight }], Math.min(sum.in, sum.out), 0)
  const result = rest.rank === 0 ? [mean] : [mean, { rank: rest.rank, a: rest.a, b: rest.b, weight: 1 }]
  const layer = sideBySide(sum, result)
  return { layer, ...(await errorOf(sum, [{ rank: layer.rank, a: layer.a, b: layer.b, weight: 1 }])) }
}
