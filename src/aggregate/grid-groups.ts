import type { Layer } from '../adapter/adapter.js'

/** Grids that are written at a time: where factors turn into sums, so much is there twice. */
const MOST_WRITTEN_BYTES = 16 * 2 ** 20

/** Layers in their order, so many at a time as are written at once. */
export function gridGroups(layers: readonly Layer[]): Layer[][] {
  const groups: Layer[][] = []
  let bytes = Number.POSITIVE_INFINITY
  for (const layer of layers) {
    const own = 8 * layer.in * layer.out
    if (bytes + own > MOST_WRITTEN_BYTES) {
      groups.push([])
      bytes = 0
    }
    bytes += own
    groups.at(-1)?.push(layer)
  }
  return groups
}
