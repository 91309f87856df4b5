/** Rounds where a part of the factors trains, between or behind factors that all clients share: 'ffa' and 'fed-sb'. */
import { type Adapter, type AdapterLayer, makeAdapter } from '../adapter/adapter.js'
import { OneroundError } from '../errors.js'
import { bytesOf } from '../update/digest.js'
import type { Plan } from '../update/plan.js'
import { coreOf, type SharedLayer, sharedFactors, withCore } from '../update/shared-factors.js'
import type { Trained } from '../update/update.js'
import { joined } from './slots.js'

/** Most of B's norm that may lie outside of the frozen B's columns: f32 rounding is below 1e-6. */
const MOST_OUTSIDE = 1e-5

/**
 * The factors of a round's start, in the plan's order: the shared ones, and B as the aggregate of the rounds before has
 * it, zero in round 1. Nothing is left over: that aggregate is exact in these factors.
 * @throws OneroundError MISMATCH where the start was not made from the plan's factors
 */
export function sharedStart(plan: Plan, exact?: Adapter): Adapter {
  const layers = new Map(exact?.layers.map((layer) => [layer.name, layer]))
  if (exact !== undefined && (exact.layers.length !== plan.layers.length || exact.dense.length > 0))
    throw otherStart(
      `${exact.layers.length} layers, ${exact.dense.length} dense deltas`,
      `${plan.layers.length} layers`,
    )
  const isCore = plan.train.trainable.kind === 'fed-sb'
  return makeAdapter(
    sharedFactors(plan).map((shared) => {
      if (exact === undefined) return { ...shared, b: new Float32Array(shared.out * shared.rank) }
      const layer = layers.get(shared.name)
      checkLayer(shared, layer)
      if (isCore) checkInside(shared, layer)
      return { ...shared, b: layer.b }
    }),
  )
}

/** What trains, as a session's parameters: B, or R, layer after layer. */
export function sharedParameters(plan: Plan, start: Adapter): Float32Array {
  if (plan.train.trainable.kind === 'ffa') return joined(start.layers.map(({ b }) => b))
  return joined(sharedFactors(plan).map((shared, i) => coreOf(shared, (start.layers[i] as AdapterLayer).b)))
}

/** A session's parameters -> what was trained, with the shared factors around it. */
export function sharedTrained(plan: Plan, flat: Float32Array): Trained {
  let at = 0
  const take = (count: number) => {
    at += count
    return flat.slice(at - count, at)
  }
  const layers = sharedFactors(plan)
  if (plan.train.trainable.kind === 'ffa')
    return { kind: 'ffa', adapter: makeAdapter(layers.map((layer) => ({ ...layer, b: take(layer.out * layer.rank) }))) }
  const cores = layers.map(({ rank }) => take(rank * rank))
  const adapter = makeAdapter(layers.map((layer, i) => withCore(layer, cores[i] as Float32Array)))
  return { kind: 'fed-sb', adapter, cores }
}

function checkLayer(shared: SharedLayer, layer: AdapterLayer | undefined): asserts layer is AdapterLayer {
  for (const field of ['in', 'out', 'rank', 'scale'] as const) {
    if (layer?.[field] !== shared[field])
      throw otherStart(
        `layer '${shared.name}' with ${field} ${layer?.[field] ?? 'absent'}`,
        `${field} ${shared[field]}`,
      )
  }
  if (layer === undefined || Buffer.compare(bytesOf(layer.a), bytesOf(shared.a)) !== 0)
    throw otherStart(`layer '${shared.name}' with another A`, "the frozen A of the plan's seed")
}

function checkInside(shared: SharedLayer, { b }: AdapterLayer): void {
  const { b: inside } = withCore(shared, coreOf(shared, b))
  let outside = 0
  let all = 0
  for (const [i, value] of b.entries()) {
    outside += (value - (inside[i] ?? 0)) ** 2
    all += value ** 2
  }
  if (outside <= MOST_OUTSIDE ** 2 * all) return
  throw otherStart(`layer '${shared.name}' with another B`, "the frozen B of the plan's seed times a core")
}

function otherStart(found: string, expected: string): OneroundError {
  return new OneroundError('MISMATCH', 'The start was not made from the factors that the plan shares.', {
    found,
    expected,
    fix: 'Start from the adapter of the round before, made with this plan.',
  })
}
