import type { Adapter } from '../adapter/adapter.js'
import { serializeDense } from '../adapter/folder-save.js'
import { peftFiles } from '../adapter/peft-save.js'
import { type Aggregate, type FinishOptions, type Keep, openAggregator } from '../aggregate/aggregator.js'
import { exactForm } from '../aggregate/exact.js'
import { frozenFactors } from '../aggregate/frozen.js'
import type { LayerJobs } from '../aggregate/layers.js'
import { serveAdapter } from '../aggregate/serve.js'
import { byClient } from '../aggregate/sums.js'
import { methodTable } from '../aggregate/table.js'
import { resolveWeights } from '../aggregate/weights.js'
import { OneroundError } from '../errors.js'
import type { Start } from '../train/start.js'
import { canonicalJson } from '../update/canonical.js'
import { FEDAVG, METHOD_OF, type Plan } from '../update/plan.js'
import { servesOwnStep } from '../update/strategy-checks.js'
import type { Update, UpdateInfo } from '../update/update.js'
import { strategyOf } from './strategies/choose.js'
import { nothing } from './strategies/combination.js'
import type { ServerState } from './strategies/strategy.js'

/** A round at the server, after its last update. */
export type Closed =
  /** more rounds follow: what the next one starts from, exact, and what the strategy keeps until then */
  | { last: false; exact: Adapter; state: ServerState }
  /** the plan's last round: what is served, by the plan's method */
  | { last: true; served: Aggregate }

interface CloseOptions extends LayerJobs {
  /** how LoRA updates are held until the round closes, with the same bits; default: by their size and number */
  keep?: Keep | undefined
  finish?: FinishOptions
  /** what the strategy kept of the round before: the `state` of its closing; none in round 1 */
  state?: ServerState | undefined
}

/**
 * The server's whole part in a round: checks every update against plan, round and start, sums, and takes the strategy's
 * step. After the last round the plan's method makes the adapter that is served; before it everything stays exact, so
 * that no round loses anything.
 * Needs no base model and no data. The order of the updates changes no bit.
 * @param updates files, bytes of files, or updates
 */
export async function closeRound(
  plan: Plan,
  start: Start,
  updates: Iterable<Update | Uint8Array | string>,
  o: CloseOptions = {},
): Promise<Closed> {
  const rule = plan.strategy ?? FEDAVG
  const isLast = start.round === plan.rounds
  if (start.round > 1 && o.state === undefined && servesOwnStep(plan)) throw noState(rule.name, start.round)
  const summed = await sumRound(plan, start, updates, o)
  if (!servesOwnStep(plan)) {
    return isLast
      ? { last: true, served: await summed.served() }
      : { last: false, exact: await summed.mean(), state: {} }
  }
  const { next, state } = await strategyOf(rule).step({
    start: start.exact ?? nothing,
    mean: await summed.mean(),
    state: o.state ?? {},
    jobs: o,
  })
  if (!isLast) return { last: false, exact: await exactForm(plan, next, o), state }
  return { last: true, served: await serveAdapter(plan, next, summed.weights(), o) }
}

/** A round's checked updates, and what can be made of them. */
interface Summed {
  /** sum_i p_i dW_i, exact */
  mean(): Promise<Adapter>
  /** the same by the plan's method */
  served(): Promise<Aggregate>
  weights(): Record<string, number>
}

async function sumRound(
  plan: Plan,
  start: Start,
  updates: Iterable<Update | Uint8Array | string>,
  o: CloseOptions,
): Promise<Summed> {
  const { round, sha256: startSha256 } = start
  const { kind } = plan.train.trainable
  const overlay = kind === 'full' ? [] : frozenFactors(start.overlay, start.dense)
  const isLast = round === plan.rounds
  const isServed = isLast && !servesOwnStep(plan)
  const count = Array.isArray(updates) ? updates.length : 0
  const keep = o.keep ?? keepOf(plan, count, isServed ? (o.finish ?? {}) : undefined)
  const place = { round, startSha256, start: start.exact ?? start.trained, overlay, dense: start.dense, keep }
  const aggregator = await openAggregator(plan, undefined, { ...o, ...place })
  const taken: { info: UpdateInfo }[] = []
  for (const source of updates) taken.push({ info: await aggregator.add(source) })
  return {
    // What all share makes the mean of their factors exact, and its own method knows that.
    mean: async () =>
      kind === 'ffa' || kind === 'fed-sb'
        ? (await aggregator.finish({ method: METHOD_OF[kind], rank: 'auto' })).adapter
        : aggregator.exact(),
    served: () => aggregator.finish(o.finish),
    weights: () =>
      resolveWeights(
        plan.aggregate.weights,
        byClient(taken).map(({ info }) => info),
      ),
  }
}

/** So much of updates is held at once; beyond it a layer's factors turn into its sum, with the same bits and more work. */
const MOST_HELD_BYTES = 128 * 2 ** 20

/**
 * Whether many clients' updates are summed as they come. A method or weights that need each of them again keep them.
 * @param finish of what is served; undefined: only the exact sum is wanted, as between rounds
 */
export function keepOf(plan: Plan, clients: number, finish: FinishOptions | undefined): Keep {
  const { kind } = plan.train.trainable
  if (kind === 'full' || (finish === undefined && kind !== 'lora')) return 'updates'
  const { method = plan.aggregate.method, weights = plan.aggregate.weights } = finish ?? { method: 'svd' }
  if (!methodTable[method].fromDenseSum) return 'updates'
  if (canonicalJson(weights) !== canonicalJson(plan.aggregate.weights)) return 'updates'
  const each = plan.layers.reduce((sum, layer) => sum + 4 * layer.rank * (layer.in + layer.out), 0)
  return clients * each > MOST_HELD_BYTES ? 'sums' : 'updates'
}

function noState(name: string, round: number): OneroundError {
  return new OneroundError('ARGUMENT', `The strategy '${name}' needs what the server kept of round ${round - 1}.`, {
    found: 'no state',
    expected: "the `state` of that round's closing",
    fix: 'Pass it on (API: state), or run all rounds by simulate, which does.',
  })
}

/** Bytes of an adapter on its way to a client: its weights files, as `save` writes them. */
export function travelBytes(adapter: Pick<Adapter, 'layers' | 'dense'>): number {
  const hasFactors = adapter.layers.some((layer) => layer.rank > 0)
  const factors = hasFactors ? peftFiles(adapter.layers, {}).factors.byteLength : 0
  return factors + (adapter.dense.length > 0 ? serializeDense(adapter.dense).byteLength : 0)
}
