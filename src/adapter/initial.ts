/** The start of round 1: A random from the plan's seed, B zero; the same at every client. */
import { native } from '../native/load.js'
import { type Adapter, type AdapterLayer, type Layer, makeAdapter } from './adapter.js'

export type InitA = 'kaiming' | 'gaussian'
type Random = (seed: number, stream: number, count: number, distribution: 'uniform' | 'normal') => Float32Array

/**
 * Layer i draws from stream firstStream + i of the seed, so a layer's start does not depend on the sizes of the others.
 * kaiming: A ~ U(-1/sqrt(in), 1/sqrt(in)), which is what kaiming_uniform with a = sqrt(5) comes to; gaussian: A ~ N(0, 1/rank^2).
 * Source: huggingface/peft, LoraLayer.reset_lora_parameters.
 */
export function initialAdapter(
  layers: readonly Layer[],
  seed: number,
  initA: InitA = 'kaiming',
  random: Random = (...draw) => native().random(...draw),
  firstStream = 0,
): Adapter {
  return makeAdapter(layers.map((layer, i) => initialLayer(layer, firstStream + i, seed, initA, random)))
}

function initialLayer(layer: Layer, stream: number, seed: number, initA: InitA, random: Random): AdapterLayer {
  const count = layer.rank * layer.in
  const a = random(seed, stream, count, initA === 'kaiming' ? 'uniform' : 'normal')
  const bound = 1 / Math.sqrt(layer.in)
  for (let i = 0; i < count; i++) {
    const draw = a[i] ?? 0
    a[i] = initA === 'kaiming' ? (2 * draw - 1) * bound : draw / layer.rank
  }
  return { ...plain(layer), a, b: new Float32Array(layer.out * layer.rank) }
}

function plain(layer: Layer): Layer {
  return { name: layer.name, in: layer.in, out: layer.out, rank: layer.rank, scale: layer.scale }
}
