import type { Dataset } from '../data/dataset.js'
import type { Model } from '../model/open.js'
import { flatten, parameterCount } from '../train/slots.js'
import type { Start } from '../train/start.js'
import { type OptimizerState, type TrainingEnd, type TrainJobOptions, trainFrom } from '../train/train.js'
import { type Plan, planSha256 } from '../update/plan.js'
import { serializeUpdate } from '../update/update.js'
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
    ...(o.optimizer
      ? { optimizerState: readOptimizer(o.optimizer, plan, o.client, parameterCount(start.trained.layers)) }
      : {}),
    onEnd: o.control || isKept ? (told) => (end = told) : undefined,
  })
  const visited: Visited = { bytes: serializeUpdate(update) }
  if (end === undefined) return visited
  if (o.control) {
    const difference = controlDifference(o.control, flatten(start.trained.layers), end.parameters, end.rates)
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
