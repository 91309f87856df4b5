/**
 * Methods that choose how much each update counts and then sum: sum_i c_i dW_i. What they need to know of the updates
 * is their Gram matrix, so no update is ever made dense. The sum itself is made as svd makes it.
 */
import { denseSum, errorOf } from './factorize.js'
import type { Gram } from './gram.js'
import { clientPairs, isDense, type LayerMethod, type LayerSum, type MethodOptions } from './method.js'
import { svdLayer } from './svd.js'

/** c_i by client, from p_i (in the order of gram.clients) and the Gram matrix of the updates. */
export type CoefficientRule = (gram: Gram, shares: readonly number[], options: MethodOptions) => number[]

/** The layer's sum with other coefficients; an overlay stays as it is. */
export function withCoefficients(sum: LayerSum, coefficient: (client: string, weight: number) => number): LayerSum {
  const parts = sum.parts.map((part) => ({ ...part, weight: coefficient(part.client, part.weight) }))
  const changed: LayerSum = { name: sum.name, in: sum.in, out: sum.out, rank: sum.rank, overlay: sum.overlay, parts }
  const pairs = clientPairs(changed)
  const ranks = pairs.reduce((total, pair) => total + pair.rank, 0)
  if (isDense(sum, ranks)) changed.dense = async () => (await denseSum(changed, pairs)).values
  return changed
}

/** svd of the sum with other coefficients; the error is against the exact weighted sum. */
export async function coefficientLayer(
  sum: LayerSum,
  changed: LayerSum,
  options: MethodOptions,
): ReturnType<LayerMethod> {
  const { layer } = await svdLayer(changed, options)
  const error = await errorOf(sum, layer.rank === 0 ? [] : [{ rank: layer.rank, a: layer.a, b: layer.b, weight: 1 }])
  return { layer, ...error }
}
