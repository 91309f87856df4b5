/** Elements of each update are dropped at random, the others rescaled, and then summed (DARE, arXiv 2311.03099). */
import { coordinateLayer, fraction } from './coordinates.js'
import type { LayerMethod } from './method.js'

/** Seeded by client, layer and element: a client's draws do not depend on who else is there. Its mean is the exact sum. */
export const dareLayer: LayerMethod = (sum, options) => {
  const drop = fraction('drop', options.drop ?? 0.9, 'zero', 1)
  return coordinateLayer(sum, { rule: 'dare', drop, seed: options.seed ?? 0 }, options)
}
