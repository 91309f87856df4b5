/** The mean of each element without its largest and smallest values (arXiv 1803.01498); weights are not looked at. */
import { coordinateLayer, fraction } from './coordinates.js'
import type { LayerMethod } from './method.js'

/** floor(trim * clients) values are left out at either end. */
export const trimmedMeanLayer: LayerMethod = (sum, options) => {
  const clients = sum.parts.filter((part) => part.weight !== 0).length
  const trimmed = Math.floor(fraction('trim', options.trim ?? 0.1, 'zero', 0.5) * clients)
  return coordinateLayer(sum, { rule: 'trimmed-mean', trimmed }, options)
}
