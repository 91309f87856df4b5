/** Members and weights -> one LayerSum a layer of the plan, clients in the order of their names. */
import type { Layer } from '../adapter/adapter.js'
import { OneroundError } from '../errors.js'
import type { FactorPair } from '../native/binding/factors.js'
import type { OverlayLayer } from '../native/binding/overlay.js'
import { native } from '../native/load.js'
import type { UpdateInfo } from '../update/info.js'
import type { Weights } from '../update/plan.js'
import type { Update } from '../update/update.js'
import { addToGrid, gridStep, onGrid } from './grid.js'
import { isDense, type LayerSum, type Part } from './method.js'

/** By UTF-16 code units: the same on every machine and in every locale. */
export function byClient<T extends { readonly info: Pick<UpdateInfo, 'client'> }>(items: Iterable<T>): T[] {
  return [...items].sort((x, y) => (x.info.client < y.info.client ? -1 : x.info.client > y.info.client ? 1 : 0))
}

/** One client as the sums need it. */
export interface Summand {
  client: string
  /** before normalisation */
  raw: number
  /** p_i */
  weight: number
  /** the factors of a layer of the plan */
  factors(layer: Layer): { rank: number; scale: number; a: Float32Array; b: Float32Array }
}

export function summandOf(update: Update, raw: number, weight: number): Summand {
  const layers = new Map(update.adapter.layers.map((layer) => [layer.name, layer]))
  const { client } = update.info
  return {
    client,
    raw,
    weight,
    factors(layer) {
      const found = layers.get(layer.name)
      if (found !== undefined && found.in === layer.in && found.out === layer.out) return found
      throw new OneroundError(
        'MISMATCH',
        `The update of client '${client}' does not fit layer '${layer.name}' of the plan.`,
        {
          found: found === undefined ? 'no such layer' : `in ${found.in}, out ${found.out}`,
          expected: `in ${layer.in}, out ${layer.out}`,
          fix: 'Let the client train with this plan.',
        },
      )
    },
  }
}

/** `overlay` must name layers of the plan only. */
export function checkOverlay(layers: readonly Layer[], overlay: readonly OverlayLayer[]): void {
  const known = new Set(layers.map((layer) => layer.name))
  const stranger = overlay.find((part) => !known.has(part.layer))
  if (stranger === undefined) return
  throw new OneroundError('MISMATCH', `The overlay holds layer '${stranger.layer}', which the plan does not train.`, {
    fix: 'Start from the adapter of the round before, made with this plan.',
  })
}

/** `summands` in the order of their names. `weights` is the rule that made their raw weights; it sets the grid. */
export function layerSum(
  layer: Layer,
  summands: readonly Summand[],
  weights: Weights,
  overlay: readonly OverlayLayer[],
): LayerSum {
  const parts = summands.map(({ client, weight, factors }): Part => ({ client, weight, ...pick(factors(layer)) }))
  const sum: LayerSum = {
    name: layer.name,
    in: layer.in,
    out: layer.out,
    rank: layer.rank,
    parts,
    overlay: overlay.filter((part) => part.layer === layer.name && part.rank > 0),
  }
  const counted = parts.filter((part) => part.weight !== 0)
  if (
    isDense(
      layer,
      counted.reduce((total, part) => total + part.rank, 0),
    )
  ) {
    const step = gridStep(weights)
    const addends = summands.flatMap((summand, i): FactorPair[] => {
      const part = parts[i]
      return part === undefined || summand.raw === 0 ? [] : [onGrid(part, part, summand.raw, step)]
    })
    sum.denseFactors = (maxRank, tolerance) =>
      native().factorizeOnGrid(layer.in, layer.out, addends, step / totalOf(summands), maxRank, tolerance)
    sum.dense = async () => {
      const grid = new BigInt64Array(layer.in * layer.out)
      await addToGrid(layer, grid, addends)
      return native().gridValues(grid, step / totalOf(summands))
    }
  }
  return sum
}

/** A layer of which only the sum was kept. */
export function denseLayerSum(
  layer: Layer,
  grid: BigInt64Array,
  summands: readonly Pick<Summand, 'raw'>[],
  weights: Weights,
  overlay: readonly OverlayLayer[],
): LayerSum {
  const factor = gridStep(weights) / totalOf(summands)
  return {
    name: layer.name,
    in: layer.in,
    out: layer.out,
    rank: layer.rank,
    parts: [],
    overlay: overlay.filter((part) => part.layer === layer.name && part.rank > 0),
    dense: async () => native().gridValues(grid, factor),
    denseFactors: (maxRank, tolerance) => native().factorizeGrid(layer.in, layer.out, grid, factor, maxRank, tolerance),
  }
}

function totalOf(summands: readonly Pick<Summand, 'raw'>[]): number {
  return summands.reduce((total, { raw }) => total + raw, 0)
}

function pick({ rank, scale, a, b }: ReturnType<Summand['factors']>) {
  return { rank, scale, a, b }
}
