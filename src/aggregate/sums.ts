/** Updates and weights -> one LayerSum a layer of the plan, clients in the order of their names. */
import type { Layer } from '../adapter/adapter.js'
import { OneroundError } from '../errors.js'
import type { OverlayLayer } from '../native/binding.js'
import type { Update } from '../update/update.js'
import type { LayerSum, Part } from './method.js'

/** By UTF-16 code units: the same on every machine and in every locale. */
export function byClient(updates: Iterable<Update>): Update[] {
  return [...updates].sort((x, y) => (x.info.client < y.info.client ? -1 : x.info.client > y.info.client ? 1 : 0))
}

/** `updates` sorted; `weights` by client name, summing to 1. */
export function layerSums(
  layers: readonly Layer[],
  updates: readonly Update[],
  weights: Record<string, number>,
  overlay: readonly OverlayLayer[],
): LayerSum[] {
  const known = new Set(layers.map((layer) => layer.name))
  const stranger = overlay.find((part) => !known.has(part.layer))
  if (stranger !== undefined) {
    throw new OneroundError('MISMATCH', `The overlay holds layer '${stranger.layer}', which the plan does not train.`, {
      fix: 'Start from the adapter of the round before, made with this plan.',
    })
  }
  const factors = updates.map((update) => new Map(update.adapter.layers.map((layer) => [layer.name, layer])))
  return layers.map((layer) => ({
    name: layer.name,
    in: layer.in,
    out: layer.out,
    rank: layer.rank,
    parts: updates.map((update, i) =>
      partOf(layer, update.info.client, weights[update.info.client] ?? 0, factors[i]?.get(layer.name)),
    ),
    overlay: overlay.filter((part) => part.layer === layer.name && part.rank > 0),
  }))
}

function partOf(
  layer: Layer,
  client: string,
  weight: number,
  found: (Layer & { a: Float32Array; b: Float32Array }) | undefined,
): Part {
  if (found === undefined || found.in !== layer.in || found.out !== layer.out) {
    throw new OneroundError(
      'MISMATCH',
      `The update of client '${client}' does not fit layer '${layer.name}' of the plan.`,
      {
        found: found === undefined ? 'no such layer' : `in ${found.in}, out ${found.out}`,
        expected: `in ${layer.in}, out ${layer.out}`,
        fix: 'Let the client train with this plan.',
      },
    )
  }
  return { client, weight, rank: found.rank, scale: found.scale, a: found.a, b: found.b }
}
