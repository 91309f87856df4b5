/** The obvious way, in double: dense matrices, row-major [out, in]. */
import { type Adapter, type AdapterLayer, type Layer, makeAdapter } from '../../../src/adapter/adapter.js'
import { type Plan, parsePlan, planSha256 } from '../../../src/update/plan.js'
import { makeUpdate, type Update, type UpdateInfo } from '../../../src/update/update.js'

type Product = Pick<AdapterLayer, 'in' | 'out' | 'rank' | 'scale' | 'a' | 'b'>

/** weight * scale * B A, added to `into`. */
export function addProduct(into: Float64Array, layer: Product, weight: number): Float64Array {
  for (let o = 0; o < layer.out; o++) {
    for (let i = 0; i < layer.in; i++) {
      let sum = 0
      for (let k = 0; k < layer.rank; k++) sum += layer.b[o * layer.rank + k]! * layer.a[k * layer.in + i]!
      into[o * layer.in + i]! += weight * layer.scale * sum
    }
  }
  return into
}

export function dense(layer: Product): Float64Array {
  return addProduct(new Float64Array(layer.in * layer.out), layer, 1)
}

export function norm(values: Float64Array): number {
  return Math.sqrt(values.reduce((sum, value) => sum + value * value, 0))
}

/** ||x - y|| / ||y|| */
export function distance(x: Float64Array, y: Float64Array): number {
  return norm(x.map((value, i) => value - y[i]!)) / norm(y)
}

/** Standard normal numbers from a small seeded generator (mulberry32 and Box-Muller). */
export function normals(seed: number, count: number, size: number): Float32Array {
  let state = seed >>> 0
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
  return Float32Array.from(
    { length: count },
    () => size * Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()),
  )
}

export function randomLayer(shape: Layer, seed: number): AdapterLayer {
  return { ...shape, a: normals(seed, shape.rank * shape.in, 0.1), b: normals(seed + 1, shape.out * shape.rank, 0.05) }
}

const start = 'ab'.repeat(32)

export function tinyPlan(
  layers: Layer[],
  aggregate: object = {},
  share: string[] = ['examples', 'tokens'],
  trainable: object = {},
): Plan {
  return parsePlan({
    version: 1,
    base: { id: 'tiny', sha256: '0'.repeat(64), tokenizerSha256: '1'.repeat(64) },
    layers,
    train: {
      trainable: { kind: 'lora', targets: 'all-linear', rank: 4, alpha: 8, ...trainable },
      epochs: 1,
      batch: 1,
      accumulate: 1,
      learningRate: 1e-3,
      optimizer: 'adamw',
      schedule: 'constant',
      warmup: 0,
      weightDecay: 0,
      clipNorm: 0,
      seed: 0,
      compute: 'f32',
    },
    data: { template: 'text', cutoff: 16, lossOn: 'all', heldOut: 0 },
    rounds: 1,
    aggregate: { method: 'svd', rank: 'auto', weights: 'examples', ...aggregate },
    share,
    clients: [],
  })
}

export function updateOf(plan: Plan, client: string, adapter: Adapter, info: Partial<UpdateInfo> = {}): Update {
  return makeUpdate(
    { client, planSha256: planSha256(plan), round: 1, startSha256: start, examples: 1, tokens: 10, ...info },
    adapter,
  )
}

export function randomUpdate(plan: Plan, client: string, seed: number, info: Partial<UpdateInfo> = {}): Update {
  return updateOf(
    plan,
    client,
    makeAdapter(plan.layers.map((layer, i) => randomLayer(layer, seed * 1000 + 10 * i))),
    info,
  )
}
