/** lambda times the exact sum (task arithmetic, arXiv 2212.04089). */
import { coefficientLayer, withCoefficients } from './coefficients.js'
import type { LayerMethod, LayerSum } from './method.js'

export const taskArithmeticLayer: LayerMethod = (sum, options) => {
  const lambda = options.lambda ?? 1
  return coefficientLayer(sum, scaled(sum, lambda), options)
}

/** Needs no single updates: a sum that was kept alone is scaled as it is. */
function scaled(sum: LayerSum, lambda: number): LayerSum {
  const { dense } = sum
  if (dense === undefined) return withCoefficients(sum, (_, weight) => lambda * weight)
  const { denseFactors: _, ...rest } = sum
  return { ...rest, dense: async () => (await dense()).map((value) => lambda * value) }
}
