/** Updates -> adapter. Updates come in any order and in any grouping; the result is the same, bit for bit. */
import { type Adapter, makeAdapter } from '../adapter/adapter.js'
import type { DenseDelta } from '../adapter/dense.js'
import { OneroundError } from '../errors.js'
import type { OverlayLayer } from '../native/binding/overlay.js'
import { sha256Of } from '../text/digest.js'
import { checkUpdate } from '../update/checks.js'
import { digestOfLayers } from '../update/digest.js'
import { type Plan, planSha256, type Weights } from '../update/plan.js'
import { type PlanHeader, planHeader } from '../update/plan-header.js'
import {
  isBytesOrFile,
  parseUpdate,
  readUpdateBytes,
  type Update,
  type UpdateInfo,
  updateSha256,
} from '../update/update.js'
import { Accumulator } from './accumulator.js'
import { openDenseAggregator } from './dense.js'
import { exactOfSums } from './exact.js'
import type { LayerJobs } from './layers.js'
import type { Keep, Member } from './member.js'
import { type LayerOutcome, type LayerSum, type MethodOptions, type RankRule, relative } from './method.js'
import { checkMethod, checkSummed } from './method-checks.js'
import { runMethod } from './methods.js'
import { noSuchClient, nothingToSum } from './refusals.js'
import { readState, stateSha256, writeState } from './state-file.js'
import { type ClientStatistics, statisticReader } from './statistics.js'
import { checkOverlay, denseLayerSum, layerSum, type Summand } from './sums.js'
import type { AggregateMethod } from './table.js'
import { resolveWeights, weightOf } from './weights.js'

export type { Keep } from './member.js'
export type { RankRule } from './method.js'
export type { AggregateMethod } from './table.js'

export interface Aggregate {
  adapter: Adapter
  method: AggregateMethod
  /** p_i by client, summing to 1 */
  weights: Record<string, number>
  /** what each update counted with, where the method chose that itself (krum, geometric median, norm clipping) */
  coefficients?: Record<string, number>
  /** ||exact sum - adapter|| / ||exact sum||, Frobenius, over all layers together; below about 1e-7 is f32 rounding */
  relativeError: number
  layers: { name: string; rank: number; relativeError: number }[]
}

export interface FinishOptions extends Omit<MethodOptions, 'rank' | 'statistics'> {
  /** default: the plan's */
  method?: AggregateMethod
  /** of methods that end in svd; default: the plan's */
  rank?: RankRule
  /** default: the plan's */
  weights?: Weights
  /** fisher, regmean: what the clients measured, as numbers or as the files that they wrote */
  statistics?: ClientStatistics | readonly string[] | undefined
}

/** Where removing needs updates again: files or updates, of whom does not matter. */
interface RemoveOptions {
  updates?: Iterable<Update | Uint8Array | string>
}

export interface Aggregator {
  /** in the order of their names */
  readonly clients: readonly string[]
  readonly keep: Keep
  /**
   * Takes an update, its bytes or the path of its file; refuses what breaks a rule of the plan and a client that is there
   * already. @returns what it says of itself
   */
  add(update: Update | Uint8Array | string): Promise<UpdateInfo>
  /**
   * Takes a client's update out again; the result is, bit for bit, as if it had never been added. Where only sums were
   * kept, its update is needed again, and everybody's where so few are left that factors are kept anew.
   */
  remove(client: string, o?: RemoveOptions): Promise<void>
  /** Takes in the clients of a state file that another process made of the same plan, round and start. */
  merge(state: string): Promise<void>
  /** The digest that a state file would have now; no order of arrival and no removal leaves a trace in it. */
  digest(): Promise<string>
  /** Writes everything to a state file, which is as confidential as the updates. @returns its digest */
  save(file: string): Promise<{ sha256: string; bytes: number }>
  /**
   * The exact sum, overlay and all, as the next round starts from it (`exactAggregate`): weights are the plan's. Of
   * factors; the same bits whatever was kept.
   */
  exact(): Promise<Adapter>
  /** May be called several times, with more updates or other options in between. */
  finish(o?: FinishOptions): Promise<Aggregate>
}

export interface AggregatorOptions extends LayerJobs {
  /** default: that of the first update; all others must agree */
  round?: number | undefined
  /** default: that of the first update; all others must agree */
  startSha256?: string | undefined
  /** what has that digest; then no update is hashed to see whether it is the start still */
  start?: Pick<Adapter, 'layers' | 'dense'> | undefined
  /** what all clients of this round trained upon; it is part of the adapter */
  overlay?: readonly OverlayLayer[] | undefined
  /**
   * 'updates' (default): every client's factors, so that each method, other weights and every removal stay possible.
   * 'sums': a layer's factors turn into its sum once they would be the larger form, so that memory is one update and
   * that sum, whatever the number of clients. A state file keeps what it was begun with.
   */
  keep?: Keep | undefined
  /** of full updates: where the round started, off the base */
  dense?: readonly DenseDelta[] | undefined
}

/** Starts an aggregation, empty or from a state file. Needs no base model. */
export async function openAggregator(plan: Plan, state?: string, o: AggregatorOptions = {}): Promise<Aggregator> {
  if (plan.train.trainable.kind === 'full') return openDenseAggregator(plan, o, state)
  checkOverlay(plan.layers, o.overlay ?? [])
  const sums =
    state === undefined ? new Accumulator(plan, o.keep ?? 'updates', o) : await readState(state, plan, o, o.keep)
  // One after another: an update that arrives while another is taken in must not meet half a sum.
  let queue: Promise<unknown> = Promise.resolve()
  const planHash = planSha256(plan)
  const digest = digestOfLayers(plan.layers)
  const header = planHeader(plan)
  const room = reusedRoom()
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const turn = queue.then(work)
    queue = turn.catch(() => undefined)
    return turn
  }
  // What reads the sums reads them whole.
  const settled = <T>(work: () => Promise<T>): Promise<T> =>
    inTurn(async () => {
      await sums.settle()
      return work()
    })
  return {
    get clients() {
      return sums.sorted().map((member) => member.info.client)
    },
    keep: sums.keep,
    add: (source) =>
      inTurn(async () => {
        const { update, sha256 } = await readSource(source, plan, header, sums.keep === 'sums' ? room : undefined)
        const [first] = sums.members.values()
        const reference = first?.info ?? update.info
        // What is in memory of others is checked and taken in at once; a file is checked while the sum before still runs.
        const isFile = typeof source === 'string'
        if (!isFile) await sums.ready(update)
        checkUpdate(plan, update, {
          round: o.round ?? reference.round,
          startSha256: o.startSha256 ?? reference.startSha256,
          start: o.startSha256 === undefined ? undefined : o.start,
          taken: sums.members,
          planHash,
          digest,
        })
        if (isFile) await sums.ready(update)
        await sums.add(update, sha256())
        return update.info
      }),
    remove: (client, options = {}) => inTurn(() => removeClient(sums, plan, client, options)),
    merge: (file) =>
      inTurn(async () => {
        const other = await readState(file, plan, o, sums.keep)
        checkMerge(sums, other, file)
        await sums.merge(other)
      }),
    digest: () => settled(async () => stateSha256(sums)),
    save: (file) => settled(() => writeState(file, sums)),
    exact: () => settled(async () => exactOfSums(plan, sumsOf(sums, plan.aggregate.weights, o).layers, o)),
    finish: (options = {}) => settled(() => aggregate(sums, options, o)),
  }
}

/**
 * An update that is checked and taken in before anything else happens.
 * @param room what a file is read into; its numbers are gone with the next
 */
async function readSource(
  source: Update | Uint8Array | string,
  plan: Plan,
  header?: PlanHeader,
  room?: (bytes: number) => Uint8Array,
): Promise<{ update: Update; sha256: () => string }> {
  if (!isBytesOrFile(source)) return { update: source, sha256: () => updateSha256(source) }
  const isFile = typeof source === 'string'
  const bytes = isFile ? await readUpdateBytes(source, plan, room) : source
  // Bytes of others are copied, unless the sums copy them anyway.
  const isKept = isFile || room !== undefined
  const update = parseUpdate(bytes, plan, isFile ? source : undefined, { isKept, header })
  return { update, sha256: () => sha256Of(bytes) }
}

/** One buffer for one file after another. */
function reusedRoom(): (bytes: number) => Uint8Array {
  let room = new Uint8Array()
  return (bytes) => {
    if (room.length < bytes) room = new Uint8Array(bytes)
    return room.subarray(0, bytes)
  }
}

async function removeClient(sums: Accumulator, plan: Plan, client: string, o: RemoveOptions): Promise<void> {
  const member = sums.members.get(client)
  if (member === undefined) throw noSuchClient(client, sums.members.keys())
  const sources = [...(o.updates ?? [])]
  await sums.remove(member, async (wanted: Member) => {
    for (const source of sources) {
      if (!isBytesOrFile(source) && source.info.client !== wanted.info.client) continue
      const { update, sha256 } = await readSource(source, plan)
      if (update.info.client === wanted.info.client && sha256() === wanted.sha256) return update
    }
    return undefined
  })
}

function checkMerge(sums: Accumulator, other: Accumulator, file: string): void {
  const twice = [...other.members.keys()].find((client) => sums.members.has(client))
  const [mine] = sums.members.values()
  const [theirs] = other.members.values()
  const unlike =
    mine !== undefined &&
    theirs !== undefined &&
    (mine.info.round !== theirs.info.round || mine.info.startSha256 !== theirs.info.startSha256)
  if (twice === undefined && !unlike) return
  throw new OneroundError('REFUSED', `The state ${file} cannot be merged.`, {
    found: twice === undefined ? 'another round or start' : `client '${twice}' in both`,
    expected: 'other clients of the same round and start',
    fix: twice === undefined ? 'Merge states of one round.' : 'Remove the client from one of the two.',
  })
}

async function aggregate(sums: Accumulator, options: FinishOptions, o: AggregatorOptions): Promise<Aggregate> {
  const { plan } = sums
  const members = sums.sorted()
  const { method = plan.aggregate.method, rank = plan.aggregate.rank, weights = plan.aggregate.weights } = options
  checkMethod(method, rank, plan)
  checkSummed(sums, method, weights)
  const { shares, layers } = sumsOf(sums, weights, o)
  const measured =
    method === 'fisher' || method === 'regmean'
      ? { statistics: await statisticReader(options.statistics, method, plan, members) }
      : {}
  const { statistics: _, ...told } = options
  const { outcomes, coefficients } = await runMethod(method, layers, { ...told, rank, ...measured }, o)
  return {
    adapter: makeAdapter(
      outcomes.map((outcome) => outcome.layer),
      [],
      { base: plan.base.id, method },
    ),
    method,
    weights: shares,
    ...(coefficients === undefined ? {} : { coefficients }),
    relativeError: wholeError(outcomes),
    layers: outcomes.map(({ layer, lost, norm }) => ({
      name: layer.name,
      rank: layer.rank,
      relativeError: relative(lost, norm),
    })),
  }
}

/** A sum a layer of what is there, and each client's share of it. */
function sumsOf(
  sums: Accumulator,
  weights: Weights,
  { overlay = [] }: AggregatorOptions,
): { shares: Record<string, number>; layers: LayerSum[] } {
  const members = sums.sorted()
  if (members.length === 0) throw nothingToSum()
  const shares = resolveWeights(
    weights,
    members.map((member) => member.info),
  )
  const summands = members.map(
    ({ info, factors }): Summand => ({
      client: info.client,
      raw: weightOf(weights, info),
      weight: shares[info.client] ?? 0,
      factors: (layer) => ({ rank: layer.rank, scale: layer.scale, ...(factors.get(layer.name) ?? absent) }),
    }),
  )
  const layers = sums.plan.layers.map((layer): LayerSum => {
    const grid = sums.grids.get(layer.name)
    return grid === undefined
      ? layerSum(layer, summands, weights, overlay)
      : denseLayerSum(layer, grid, summands, weights, overlay)
  })
  return { shares, layers }
}

const absent = { a: new Float32Array(), b: new Float32Array() }

function wholeError(outcomes: readonly LayerOutcome[]): number {
  const lost = outcomes.reduce((total, outcome) => total + outcome.lost ** 2, 0)
  const norm = outcomes.reduce((total, outcome) => total + outcome.norm ** 2, 0)
  return relative(Math.sqrt(lost), Math.sqrt(norm))
}
