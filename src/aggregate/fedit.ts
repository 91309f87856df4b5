/** The mean of the A and the mean of the B, apart (FedIT, arXiv 2305.05644): cheap, common, and not the sum. */
import { meanFactors, pairOfMean } from './factor-mean.js'
import { errorOf } from './factorize.js'
import { type LayerMethod, overlayPairs } from './method.js'
import { sideBySide } from './stack.js'

/**
 * scale * mean(B) mean(A), with the plan's scale and rank. The error is that of the published formula,
 * sum_i p_i s (B_i - mean B)(A_i - mean A). An overlay that all clients had is stacked beside it, exactly.
 */
export const feditLayer: LayerMethod = async (sum) => {
  const mean = meanFactors(sum, 'fedit')
  const result = [pairOfMean(mean), ...overlayPairs(sum)]
  const error = await errorOf(sum, result)
  const { name, in: inDim, out } = sum
  const layer = sum.overlay.length === 0 ? { name, in: inDim, out, ...mean } : sideBySide(sum, result)
  return { layer, ...error }
}
