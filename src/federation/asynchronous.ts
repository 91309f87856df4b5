/** Federations without rounds: clients come when they are ready, on a simulated clock, and nobody waits. */
import type { Adapter } from '../adapter/adapter.js'
import { exactForm } from '../aggregate/exact.js'
import { serveAdapter } from '../aggregate/serve.js'
import { weightOf } from '../aggregate/weights.js'
import { OneroundError } from '../errors.js'
import { checkAborted } from '../train/job.js'
import { atVisit, type Start, startFrom } from '../train/start.js'
import { checkUpdate } from '../update/checks.js'
import { openUpdate, type Update } from '../update/update.js'
import { eachLimited } from './limited.js'
import { durationOf, everybody, isSilent } from './participation.js'
import type { RoundsOptions, RoundsResult } from './rounds.js'
import { closeRound, travelBytes } from './server.js'
import type { Sent } from './store.js'
import { nothing } from './strategies/combination.js'
import { type Arrival, type FedBuffRule, fedbuffStep } from './strategies/fedbuff.js'
import { arrive, type RunningMean } from './strategies/running-mean.js'

/** An update that has come in. */
interface ArrivalRecord {
  client: string
  /** the client's visit, from 1 */
  round: number
  /** simulated time, in visits of the median client */
  clock: number
  /** server steps between this client's start and now */
  staleness: number
  /** server steps so far, this arrival's own included */
  version: number
}

export interface AsynchronousOptions
  extends Pick<RoundsOptions, 'plan' | 'clients' | 'conditions' | 'concurrency' | 'signal' | 'updateOf' | 'threads'> {
  onArrival?: ((record: ArrivalRecord, served: Adapter | undefined) => Promise<void>) | undefined
}

interface Visit {
  client: string
  /** place among the sorted names */
  place: number
  round: number
  start: Start
  version: number
  /** when its update arrives */
  time: number
  sent?: Sent | undefined
}

type Take = (visit: Visit, update: Update, sent: Sent) => Promise<void>

/** A plan with the strategy fedbuff or running-mean: every client makes plan.rounds visits. */
export function runAsynchronous(o: AsynchronousOptions): Promise<RoundsResult> {
  const rule = o.plan.strategy
  return rule?.name === 'fedbuff' ? runBuffered(o, rule) : runRunningMean(o)
}

async function runBuffered(o: AsynchronousOptions, rule: FedBuffRule): Promise<RoundsResult> {
  const { plan } = o
  const jobs = { threads: o.threads, signal: o.signal }
  const result = { bytesUp: 0, bytesOfStarts: 0, seconds: 0, clock: 0 }
  const counted: Record<string, number> = {}
  let server = nothing
  let version = 0
  let start = startFrom(plan, 1, undefined)
  let buffer: Arrival[] = []
  const flush = async () => {
    const began = performance.now()
    // A last buffer that is not full counts for as much as it holds.
    const share = Math.min(1, buffer.length / rule.buffer)
    server = await fedbuffStep({ ...rule, serverLearningRate: rule.serverLearningRate * share }, server, buffer, jobs)
    result.seconds += (performance.now() - began) / 1000
    buffer = []
    version++
    start = startFrom(plan, 1, await exactForm(plan, server, jobs))
  }
  const begin = (round: number) => {
    if (version > 0) result.bytesOfStarts += travelBytes(server)
    return { start: atVisit(plan, start, round), version }
  }
  await eachArrival(o, begin, async (visit, update, sent) => {
    tally(result, sent, visit)
    const weight = weightOf(plan.aggregate.weights, update.info)
    counted[visit.client] = (counted[visit.client] ?? 0) + weight
    const staleness = version - visit.version
    const { client, round } = visit
    buffer.push({ client, visit: round, end: update.adapter, start: visit.start.trained, staleness, weight })
    if (buffer.length >= rule.buffer) await flush()
    await o.onArrival?.(recordOf(visit, staleness, version), undefined)
  })
  checkArrived(o, Object.keys(counted).length)
  if (buffer.length > 0) await flush()
  const total = Object.values(counted).reduce((sum, weight) => sum + weight, 0)
  const weights = Object.fromEntries(Object.entries(counted).map(([name, weight]) => [name, weight / total]))
  return { ...result, aggregate: await serveAdapter(plan, server, weights, jobs) }
}

async function runRunningMean(o: AsynchronousOptions): Promise<RoundsResult> {
  const { plan } = o
  const jobs = { threads: o.threads, signal: o.signal }
  const result = { bytesUp: 0, bytesOfStarts: 0, seconds: 0, clock: 0 }
  const start = startFrom(plan, 1, undefined)
  const updates: Update[] = []
  let mean: RunningMean | undefined
  await eachArrival(
    o,
    () => ({ start, version: 0 }),
    async (visit, update, sent) => {
      tally(result, sent, visit)
      const began = performance.now()
      mean = await arrive(mean, update.adapter, weightOf(plan.aggregate.weights, update.info), jobs)
      result.seconds += (performance.now() - began) / 1000
      updates.push(update)
      await o.onArrival?.(recordOf(visit, 0, updates.length), mean.adapter)
    },
  )
  checkArrived(o, updates.length)
  // The same sum as of a round that waited: the running mean ends there, up to f32 rounding.
  const closed = await closeRound(plan, start, updates, jobs)
  if (!closed.last) throw new TypeError('running-mean has one round')
  return { ...result, aggregate: closed.served }
}

/**
 * Lets every client make its visits one after another, each from what the server holds when it begins, and calls `take`
 * in the order of the clock; at one time, in the order of the names. What a visit starts from is known when it begins, so
 * `concurrency` visits train side by side and no bit depends on it.
 */
async function eachArrival(
  o: AsynchronousOptions,
  begin: (round: number) => { start: Start; version: number },
  take: Take,
): Promise<void> {
  const { plan, conditions } = o
  const { seed } = plan.train
  const underway: Visit[] = []
  const go = (client: string, place: number, round: number, now: number) =>
    underway.push({
      client,
      place,
      round,
      ...begin(round),
      time: now + durationOf(seed, place, round, conditions),
    })
  for (const [place, client] of [...o.clients].sort().entries()) go(client, place, 1, 0)
  while (underway.length > 0) {
    checkAborted(o.signal)
    underway.sort((x, y) => x.time - y.time || x.place - y.place)
    // Whoever ends at one moment begins again after all of them have arrived: so equal clients are rounds.
    const moment = underway.filter((visit) => visit.time === underway[0]?.time)
    for (const visit of moment) await arrival(o, visit, underway, take)
    underway.splice(0, moment.length)
    for (const { client, place, round, time } of moment) if (round < plan.rounds) go(client, place, round + 1, time)
  }
}

/** A visit ends: its update is checked and taken, unless the client went silent. */
async function arrival(o: AsynchronousOptions, visit: Visit, underway: readonly Visit[], take: Take): Promise<void> {
  if (isSilent(o.plan.train.seed, visit.place, visit.round, o.conditions)) return
  if (visit.sent === undefined) await trainNext(o, underway)
  const sent = visit.sent as Sent | undefined
  if (sent === undefined) throw new TypeError('a visit that trained has sent its update')
  const update = await openUpdate(sent.source, o.plan)
  checkUpdate(o.plan, update, { round: visit.round, startSha256: visit.start.sha256 })
  await take(visit, update, sent)
}

/** Trains the visits that arrive next, as many as may at once. */
async function trainNext(o: AsynchronousOptions, underway: readonly Visit[]): Promise<void> {
  const next = underway
    .filter((visit) => visit.sent === undefined && !isSilent(o.plan.train.seed, visit.place, visit.round, o.conditions))
    .slice(0, o.concurrency)
  await eachLimited(next, o.concurrency, o.signal, async (visit, signal) => {
    visit.sent = await o.updateOf(visit.client, visit.start, signal, {})
  })
}

function tally(result: Omit<RoundsResult, 'aggregate'>, sent: Sent, visit: Visit): void {
  result.bytesUp += sent.bytes
  result.seconds += sent.seconds
  result.clock = visit.time
}

function recordOf(visit: Visit, staleness: number, version: number): ArrivalRecord {
  return { client: visit.client, round: visit.round, clock: visit.time, staleness, version }
}

function checkArrived({ plan, clients }: AsynchronousOptions, arrived: number): void {
  const { minimumClients } = plan.participation ?? everybody
  if (arrived >= minimumClients) return
  throw new OneroundError('REFUSED', 'Too few clients have sent an update.', {
    found: `${arrived} of ${clients.length}`,
    expected: `at least ${minimumClients} (minimumClients)`,
    fix: 'Lower the dropout or the minimum, or take another seed.',
  })
}
