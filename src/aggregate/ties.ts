/** Trim, elect a sign, and average what agrees with it (TIES, arXiv 2306.01708). Trimming is by layer. */
import { coordinateLayer, fraction } from './coordinates.js'
import type { LayerMethod } from './method.js'

export const tiesLayer: LayerMethod = (sum, options) => {
  const density = options.density ?? 0.2
  if (density !== 1) fraction('density', density, 'above zero', 1)
  return coordinateLayer(sum, { rule: 'ties', density }, options, options.lambda ?? 1)
}
