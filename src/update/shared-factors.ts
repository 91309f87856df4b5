/**
 * Factors that all clients of a plan share and none trains: A of 'ffa', B and A of 'fed-sb'. They come from the plan's
 * seed, so they travel as that seed, to the clients and to the server.
 */
import type { AdapterLayer, Layer } from '../adapter/adapter.js'
import { initialAdapter } from '../adapter/initial.js'
import { native } from '../native/load.js'
import type { Plan } from './plan-schema.js'

export interface SharedLayer extends Layer {
  /** [rank, in] */
  a: Float32Array
  /** ffa: zeros, where B starts; fed-sb: the frozen B [out, rank], orthonormal columns */
  b: Float32Array
}

const known = new WeakMap<Plan, readonly SharedLayer[]>()

/** In the order of plan.layers. The same arrays for the same plan object: change none of their numbers. */
export function sharedFactors(plan: Plan): readonly SharedLayer[] {
  const found = known.get(plan)
  if (found !== undefined) return found
  const { trainable, seed } = plan.train
  const layers =
    trainable.kind === 'fed-sb'
      ? plan.layers.map((layer, i) => orthonormalLayer(layer, i, seed))
      : initialAdapter(plan.layers, seed, trainable.kind === 'full' ? 'kaiming' : trainable.initA).layers
  known.set(plan, layers)
  return layers
}

/**
 * Streams 2i and 2i + 1 of the seed. Orthonormal, so that the change s B R A has the norm s |R| and the gradient of R sees
 * every direction alike. Fed-SB takes B and A from an SVD of a first gradient step over data; there is no data here that
 * all parties may see, so ours know nothing of the task.
 */
function orthonormalLayer(layer: Layer, i: number, seed: number): SharedLayer {
  const { name, in: inDim, out, rank, scale } = layer
  const columns = native().orthonormal(seed, 2 * i, inDim, rank)
  const a = new Float32Array(rank * inDim)
  for (let k = 0; k < rank; k++) for (let j = 0; j < inDim; j++) a[k * inDim + j] = columns[j * rank + k] ?? 0
  return { name, in: inDim, out, rank, scale, a, b: native().orthonormal(seed, 2 * i + 1, out, rank) }
}

/** The factors B R and A of a core R [rank, rank]; summed in double and rounded once. */
export function withCore({ b, ...layer }: SharedLayer, core: Float32Array): AdapterLayer {
  const { out, rank } = layer
  const product = new Float32Array(out * rank)
  const sum = new Float64Array(rank)
  for (let row = 0; row < out; row++) {
    sum.fill(0)
    for (let k = 0; k < rank; k++) {
      const factor = b[row * rank + k] ?? 0
      for (let j = 0; j < rank; j++) sum[j] = (sum[j] ?? 0) + factor * (core[k * rank + j] ?? 0)
    }
    product.set(sum, row * rank)
  }
  return { ...layer, b: product }
}

/** The core of factors that withCore made: R = B' (B R), within f32 rounding, since B'B = I. */
export function coreOf({ b, out, rank }: SharedLayer, product: Float32Array): Float32Array {
  const sum = new Float64Array(rank * rank)
  for (let row = 0; row < out; row++) {
    for (let k = 0; k < rank; k++) {
      const factor = b[row * rank + k] ?? 0
      for (let j = 0; j < rank; j++)
        sum[k * rank + j] = (sum[k * rank + j] ?? 0) + factor * (product[row * rank + j] ?? 0)
    }
  }
  return Float32Array.from(sum)
}
