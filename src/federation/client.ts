import type { Dataset } from '../data/dataset.js'
import type { Model } from '../model/open.js'
import type { Start } from '../train/start.js'
import { type TrainJobOptions, trainFrom } from '../train/train.js'
import type { Plan } from '../update/plan.js'
import { serializeUpdate } from '../update/update.js'

/**
 * A client's whole part in a round: from its data and the round's start to the bytes of its update file. Nothing else
 * leaves it, in a simulation as between machines.
 */
export async function clientUpdate(
  base: Model,
  data: Dataset,
  plan: Plan,
  start: Start,
  o: TrainJobOptions,
): Promise<Uint8Array> {
  return serializeUpdate(await trainFrom(base, data, plan, start, o))
}
