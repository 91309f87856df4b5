/**
 * A weight for each client in each layer, learned on held-out data (as CAT learns coefficients for LoRA modules,
 * arXiv 2410.13025). The weights are taken as they are: they need not sum to 1.
 */
import { coefficientLayer, withCoefficients } from './coefficients.js'
import type { LayerMethod } from './method.js'

export const catLayer: LayerMethod = (sum, options) => {
  const table = options.layerWeights ?? {}
  const own = Object.hasOwn(table, sum.name) ? table[sum.name] : undefined
  const changed = withCoefficients(sum, (client, weight) =>
    own !== undefined && Object.hasOwn(own, client) ? (own[client] ?? weight) : weight,
  )
  return coefficientLayer(sum, changed, options)
}
