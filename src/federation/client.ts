import type { Dataset } from '../data/dataset.js'
import type { Model } from '../model/open.js'
import { baseTensors, turn } from '../model/tensors.js'
import { flatten } from '../train/slots.js'
import type { Start } from '../train/start.js'
import { type OptimizerState, type TrainingEnd, type TrainJobOptions, trainFrom } from '../train/train.js'
import { updateCount } from '../update/layers.js'
import { type Plan, planSha256 } from '../update/plan.js'
import { serializeUpdate, type Update } from '../update/update.js'
import { type ControlVariate, controlDifference } from './strategies/scaffold.js'
import { decodeVectors, encodeVectors, type VectorLabels } from './vectors.js'

export interface VisitOptions extends TrainJobOptions {
  /** SCAFFOLD's c, as the server sent it; `correction` is then c - c_i */
  control?: ControlVariate | undefined
  /** the client's own file of its last visit, where the plan keeps optimizer states */
  optimizer?: Uint8Array | undefined
}

/** What a visit ends with. */
export interface Visited {
  /** the update file */
  bytes: Uint8Array
  /** SCAFFOLD: the file with c_i' - c_i, which travels beside the update */
  control?: Uint8Array | undefined
  /** what the client keeps for its next visit; it does not travel */
  optimizer?: Uint8Array | undefined
}

/**
 * A client's whole part in a round: from its data and the round's start to the bytes of its update file. Nothing else
 * leaves it, in a simulation as between machines.
 */
export async function clientUpdate(
  base: Model,
  data: Dataset,
  plan: Plan,
  start: Start,
  o: VisitOptions,
): Promise<Visited> {
  let end: TrainingEnd | undefined
  const isKept = plan.train.optimizerState === 'kept'
  const update = await trainFrom(base, data, plan, start, {
    ...o,
    ...(o.optimizer ? { optimizerState: readOptimizer(o.optimizer, plan, o.client, updateCount(plan)) } : {}),
    onEnd: o.control || isKept ? (told) => (end = told) : undefined,
  })
  const visited: Visited = { bytes: serializeUpdate(update) }
  if (end === undefined) return visited
  if (o.control) {
    const difference = controlDifference(o.control, movedBy(update, start, base), end.rates)
    visited.control = encodeVectors(controlLabels(plan, o.client, start), { difference })
  }
  if (isKept) {
    const { first, second, steps } = end.optimizer
    const labels = optimizerLabels(plan, o.client)
    visited.optimizer = encodeVectors(labels, {
      first,
      second,
      steps: Float32Array.of(steps % 2 ** 16, Math.floor(steps / 2 ** 16)),
    })
  }
  return visited
}

/** End minus start, flat as the session's parameters. */
function movedBy({ adapter }: Update, start: Start, base: Model): Float32Array {
  if (adapter.dense.length === 0) {
    const from = flatten(start.trained.layers)
    return flatten(adapter.layers).map((value, i) => value - (from[i] ?? 0))
  }
  const moved = new Float32Array(adapter.dense.reduce((sum, { values }) => sum + values.length, 0))
  // An update has Hugging Face's shapes, a session the file's.
  const turned = new Set(baseTensors(base.spec).flatMap((tensor) => (tensor.turned ? [tensor.name] : [])))
  let at = 0
  for (const { name, shape, values } of adapter.dense) {
    moved.set(turned.has(name) ? turn(values, shape[0] ?? 0, shape[1] ?? 0) : values, at)
    at += values.length
  }
  return moved
}

/** A client's c_i' - c_i from the file that it sent. */
export function readControl(
  bytes: Uint8Array,
  plan: Plan,
  client: string,
  start: Start,
  count: number,
): ControlVariate {
  return decodeVectors(bytes, controlLabels(plan, client, start), { difference: count }).difference
}

function controlLabels(plan: Plan, client: string, start: Start): VectorLabels {
  return {
    kind: 'oneround-control-1',
    client,
    plan: planSha256(plan),
    round: String(start.round),
    start: start.sha256,
  }
}

function optimizerLabels(plan: Plan, client: string): VectorLabels {
  return { kind: 'oneround-optimizer-1', client, plan: planSha256(plan) }
}

/** Steps are two halves of 16 bits: f32 holds whole numbers to 2^24 only. */
function readOptimizer(bytes: Uint8Array, plan: Plan, client: string, count: number): OptimizerState {
  const counts = { first: count, second: count, steps: 2 }
  const { first, second, steps } = decodeVectors(bytes, optimizerLabels(plan, client), counts)
  return { first, second, steps: (steps[0] ?? 0) + (steps[1] ?? 0) * 2 ** 16 }
}
