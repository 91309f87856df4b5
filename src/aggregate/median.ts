/** The median of each element over the clients (arXiv 1803.01498); weights are not looked at. */
import { coordinateLayer } from './coordinates.js'
import type { LayerMethod } from './method.js'

export const medianLayer: LayerMethod = (sum, options) => coordinateLayer(sum, { rule: 'median' }, options)
