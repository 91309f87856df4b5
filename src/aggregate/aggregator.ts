/** Updates -> adapter. Updates come in any order and in any grouping; the result is the same, bit for bit. */
import { type Adapter, makeAdapter } from '../adapter/adapter.js'
import type { DenseDelta } from '../adapter/dense.js'
import { OneroundError } from '../errors.js'
import type { OverlayLayer } from '../native/binding.js'
import { checkUpdate } from '../update/checks.js'
import type { Method, Plan, Weights } from '../update/plan.js'
import { isBytesOrFile, openUpdate, type Update } from '../update/update.js'
import { openDenseAggregator } from './dense.js'
import { feditLayer } from './fedit.js'
import { type LayerJobs, overLayers } from './layers.js'
import { type LayerMethod, type LayerOutcome, relative } from './method.js'
import { noSuchClient, nothingToSum } from './refusals.js'
import { stackLayer } from './stack.js'
import { byClient, layerSums } from './sums.js'
import { svdLayer } from './svd.js'
import { methodTable } from './table.js'
import { resolveWeights } from './weights.js'

/** Methods of factors; whole tensors have but one. */
type LoraMethod = Exclude<Method, 'fedavg'>

const layerMethods: Record<LoraMethod, LayerMethod> = { svd: svdLayer, stack: stackLayer, fedit: feditLayer }

export interface Aggregate {
  adapter: Adapter
  method: Method
  /** p_i by client, summing to 1 */
  weights: Record<string, number>
  /** ||exact sum - adapter|| / ||exact sum||, Frobenius, over all layers together; below about 1e-7 is f32 rounding */
  relativeError: number
  layers: { name: string; rank: number; relativeError: number }[]
}

export interface FinishOptions {
  /** default: the plan's */
  method?: Method
  /** svd only; default: the plan's */
  rank?: number | 'auto'
  /** default: the plan's */
  weights?: Weights
}

export interface Aggregator {
  /** Takes an update, its bytes or the path of its file; refuses what breaks a rule of the plan and a client that is there already. */
  add(update: Update | Uint8Array | string): Promise<void>
  /** Takes a client's update out again; the result is as if it had never been added. */
  remove(client: string): Promise<void>
  /** May be called several times, with more updates or other options in between. */
  finish(o?: FinishOptions): Promise<Aggregate>
}

export interface AggregatorOptions extends LayerJobs {
  /** default: that of the first update; all others must agree */
  round?: number | undefined
  /** default: that of the first update; all others must agree */
  startSha256?: string | undefined
  /** what all clients of this round trained upon; it is part of the adapter */
  overlay?: readonly OverlayLayer[] | undefined
  /** of full updates: where the round started, off the base */
  dense?: readonly DenseDelta[] | undefined
}

/** Starts an empty aggregation. Needs no base model. */
export async function openAggregator(plan: Plan, state?: string, o: AggregatorOptions = {}): Promise<Aggregator> {
  if (state !== undefined) {
    throw new OneroundError('UNSUPPORTED', 'Aggregation state files are not built yet.', {
      found: `state '${state}'`,
      expected: 'update files',
      fix: 'Leave out the state and pass all update files of the round at once.',
    })
  }
  if (plan.train.trainable.kind === 'full') return openDenseAggregator(plan, o)
  const updates = new Map<string, Update>()
  return {
    async add(source) {
      const update = isBytesOrFile(source) ? await openUpdate(source, plan) : source
      const [first] = updates.values()
      const reference = first ?? update
      const { client } = update.info
      checkUpdate(plan, update, {
        round: o.round ?? reference.info.round,
        startSha256: o.startSha256 ?? reference.info.startSha256,
        taken: new Set(updates.keys()),
      })
      updates.set(client, update)
    },
    async remove(client) {
      if (!updates.delete(client)) throw noSuchClient(client, updates.keys())
    },
    finish(options = {}) {
      return aggregate(plan, byClient(updates.values()), options, o)
    },
  }
}

async function aggregate(
  plan: Plan,
  updates: readonly Update[],
  options: FinishOptions,
  o: AggregatorOptions,
): Promise<Aggregate> {
  if (updates.length === 0) throw nothingToSum()
  const method = options.method ?? plan.aggregate.method
  const rank = options.rank ?? plan.aggregate.rank
  checkMethod(method, rank)
  if (method === 'fedavg') throw noFactorMethod()
  const weights = resolveWeights(
    options.weights ?? plan.aggregate.weights,
    updates.map((update) => update.info),
  )
  const sums = layerSums(plan.layers, updates, weights, o.overlay ?? [])
  const outcomes = await overLayers(sums, layerMethods[method], { rank }, o)
  return {
    adapter: makeAdapter(
      outcomes.map((outcome) => outcome.layer),
      [],
      { base: plan.base.id, method },
    ),
    method,
    weights,
    relativeError: wholeError(outcomes),
    layers: outcomes.map(({ layer, lost, norm }) => ({
      name: layer.name,
      rank: layer.rank,
      relativeError: relative(lost, norm),
    })),
  }
}

function noFactorMethod(): OneroundError {
  return new OneroundError('ARGUMENT', "The method 'fedavg' averages whole tensors, and these updates are factors.", {
    found: "method 'fedavg'",
    expected: 'svd, stack or fedit',
    fix: 'Choose one of these methods.',
  })
}

function wholeError(outcomes: readonly LayerOutcome[]): number {
  const lost = outcomes.reduce((total, outcome) => total + outcome.lost ** 2, 0)
  const norm = outcomes.reduce((total, outcome) => total + outcome.norm ** 2, 0)
  return relative(Math.sqrt(lost), Math.sqrt(norm))
}

function checkMethod(method: Method, rank: number | 'auto'): void {
  if (!Object.hasOwn(methodTable, method)) {
    throw new OneroundError('UNSUPPORTED', `There is no method '${method}'.`, {
      found: String(method),
      expected: Object.keys(methodTable).join(', '),
      fix: 'Choose one of these methods.',
    })
  }
  if (rank === 'auto') return
  if (!Number.isSafeInteger(rank) || rank < 1) {
    throw new OneroundError('ARGUMENT', 'The rank is not usable.', {
      found: String(rank),
      expected: "a whole number of at least 1, or 'auto'",
      fix: 'Correct the rank.',
    })
  }
  if (!methodTable[method].takesRank) {
    throw new OneroundError('ARGUMENT', `The method '${method}' has no rank to choose.`, {
      found: `rank ${rank}`,
      expected: "rank 'auto'",
      fix: `Leave the rank out, or aggregate with the method 'svd'.`,
    })
  }
}
