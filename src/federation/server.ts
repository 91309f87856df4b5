import type { Adapter } from '../adapter/adapter.js'
import { serializeDense } from '../adapter/folder-save.js'
import { peftFiles } from '../adapter/peft-save.js'
import { type Aggregate, type FinishOptions, openAggregator } from '../aggregate/aggregator.js'
import { exactAggregate } from '../aggregate/exact.js'
import { frozenFactors } from '../aggregate/frozen.js'
import type { LayerJobs } from '../aggregate/layers.js'
import type { Start } from '../train/start.js'
import type { Plan } from '../update/plan.js'
import { isBytesOrFile, openUpdate, type Update } from '../update/update.js'

/** A round at the server, after its last update. */
export type Closed =
  /** more rounds follow: what the next one starts from, exact */
  | { last: false; exact: Adapter }
  /** the plan's last round: what is served, by the plan's method */
  | { last: true; served: Aggregate }

/**
 * The server's whole part in a round: checks every update against plan, round and start, and sums. After the last round
 * the plan's method makes the adapter that is served; before it the sum stays exact, so that no round loses anything.
 * The mean of full updates is exact in any round. Needs no base model and no data. The order of the updates changes no bit.
 * @param updates files, bytes of files, or updates
 */
export async function closeRound(
  plan: Plan,
  start: Start,
  updates: Iterable<Update | Uint8Array | string>,
  o: LayerJobs & { finish?: FinishOptions } = {},
): Promise<Closed> {
  const { round, sha256: startSha256 } = start
  if (plan.train.trainable.kind === 'full') {
    const aggregator = await openAggregator(plan, undefined, { ...o, round, startSha256, dense: start.dense })
    for (const source of updates) await aggregator.add(source)
    const served = await aggregator.finish(round < plan.rounds ? {} : o.finish)
    return round < plan.rounds ? { last: false, exact: served.adapter } : { last: true, served }
  }
  const overlay = frozenFactors(start.overlay, start.dense)
  const aggregator = await openAggregator(plan, undefined, { ...o, round, startSha256, overlay })
  const taken: Update[] = []
  for (const source of updates) {
    const update = isBytesOrFile(source) ? await openUpdate(source, plan) : source
    await aggregator.add(update)
    taken.push(update)
  }
  if (round < plan.rounds) return { last: false, exact: await exactAggregate(plan, taken, overlay, o) }
  return { last: true, served: await aggregator.finish(o.finish) }
}

/** Bytes of an adapter on its way to a client: its weights files, as `save` writes them. */
export function travelBytes(adapter: Pick<Adapter, 'layers' | 'dense'>): number {
  const hasFactors = adapter.layers.some((layer) => layer.rank > 0)
  const factors = hasFactors ? peftFiles(adapter.layers, {}).factors.byteLength : 0
  return factors + (adapter.dense.length > 0 ? serializeDense(adapter.dense).byteLength : 0)
}
