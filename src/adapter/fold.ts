/** One scale for all layers, where a format has only one: what differs goes into B. */
import type { Adapter, AdapterLayer } from './adapter.js'

interface Folded {
  layers: AdapterLayer[]
  /** layers whose B was multiplied and so rounded to f32 again; powers of two change no digit and do not count */
  rounded: string[]
}

/**
 * @param wanted the scale that the format will give a layer
 * @returns layers with that scale; B times scale / wanted where they differ
 */
export function foldScales(layers: readonly AdapterLayer[], wanted: (layer: AdapterLayer) => number): Folded {
  const rounded: string[] = []
  const folded = layers.map((layer) => {
    const scale = wanted(layer)
    // A scale that the format keeps in single precision is the same scale to every reader of the format.
    if (Math.fround(layer.scale) === Math.fround(scale)) return { ...layer, scale }
    const ratio = layer.scale / scale
    if (!Number.isInteger(Math.log2(Math.abs(ratio)))) rounded.push(layer.name)
    return { ...layer, scale, b: layer.b.map((value) => value * ratio) }
  })
  return { layers: folded, rounded }
}

/** The value that most layers have; of equals the first. */
export function mostCommon(values: readonly number[]): number {
  const counts = new Map<number, number>()
  let best = values[0] ?? 0
  for (const value of values) {
    const count = (counts.get(value) ?? 0) + 1
    counts.set(value, count)
    if (count > (counts.get(best) ?? 0)) best = value
  }
  return best
}

export function effective({ layers }: Pick<Adapter, 'layers'>): AdapterLayer[] {
  return layers.filter((layer) => layer.rank > 0)
}
