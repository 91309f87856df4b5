/** Points on the straight line between two adapters, as adapters: ranks add up, nothing is rounded into anything. */
import { type Adapter, type AdapterLayer, makeAdapter } from '../adapter/adapter.js'
import type { DenseDelta } from '../adapter/dense.js'

/** (1 - t) * one + t * other; layers and tensors that only one of them has count for the other as zero. */
export function blend(one: Adapter, other: Adapter, t: number): Adapter {
  const layers = new Map<string, AdapterLayer>()
  for (const [adapter, weight] of [
    [one, 1 - t],
    [other, t],
  ] as const) {
    for (const layer of adapter.layers) {
      const own = { ...layer, scale: 1, b: layer.b.map((value) => value * layer.scale * weight) }
      const known = layers.get(layer.name)
      layers.set(layer.name, known === undefined ? own : stacked(known, own))
    }
  }
  return makeAdapter([...layers.values()], blendedDense(one, other, t))
}

/** B A + D C = [B D] [A; C]. */
function stacked(x: AdapterLayer, y: AdapterLayer): AdapterLayer {
  const rank = x.rank + y.rank
  const a = new Float32Array(rank * x.in)
  a.set(x.a)
  a.set(y.a, x.a.length)
  const b = new Float32Array(x.out * rank)
  for (let row = 0; row < x.out; row++) {
    b.set(x.b.subarray(row * x.rank, (row + 1) * x.rank), row * rank)
    b.set(y.b.subarray(row * y.rank, (row + 1) * y.rank), row * rank + x.rank)
  }
  return { ...x, rank, a, b }
}

function blendedDense(one: Adapter, other: Adapter, t: number): DenseDelta[] {
  const out = new Map<string, DenseDelta>()
  for (const { name, shape, values } of one.dense)
    out.set(name, { name, shape, values: values.map((v) => v * (1 - t)) })
  for (const { name, shape, values } of other.dense) {
    const known = out.get(name)?.values
    out.set(name, { name, shape, values: values.map((v, i) => v * t + (known?.[i] ?? 0)) })
  }
  return [...out.values()]
}
