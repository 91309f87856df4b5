import type { Adapter } from '../adapter/adapter.js'
import type { Aggregate } from '../aggregate/aggregator.js'
import { checkAborted } from '../train/job.js'
import { type Start, startOfRound } from '../train/start.js'
import { updateCount } from '../update/layers.js'
import type { Plan } from '../update/plan.js'
import { openUpdate, type UpdateInfo } from '../update/update.js'
import { controlShares } from './by-file/controls.js'
import { readControl } from './client.js'
import { eachLimited } from './limited.js'
import { type Conditions, checkQuorum, everybody, type Turnout, turnoutOf } from './participation.js'
import { type Closed, closeRound, travelBytes } from './server.js'
import type { Sent } from './store.js'
import { ControlVariates } from './strategies/scaffold.js'
import type { ServerState } from './strategies/strategy.js'

/** What a client gets beside the start. */
export interface Beside {
  /** SCAFFOLD: the server's c, and c - c_i */
  control?: Float32Array | undefined
  correction?: Float32Array | undefined
}

/** What a federation needs from whoever carries its files. */
export interface RoundsOptions {
  plan: Plan
  /** who may be asked; plan.participation says how many of them each round is */
  clients: readonly string[]
  conditions: Conditions
  /** clients that work at once */
  concurrency: number
  signal?: AbortSignal | undefined
  /** a client's part: from the start to its update's bytes, and the seconds they took */
  updateOf(client: string, start: Start, signal: AbortSignal, beside: Beside): Promise<Sent>
  /** the exact aggregate of a round that was closed before, and what its strategy kept */
  exactOf(round: number): Promise<Adapter | undefined>
  stateOf(round: number): Promise<ServerState | undefined>
  keepExact(round: number, exact: Adapter, state: ServerState): Promise<void>
  /** how often a round has failed its quorum */
  attemptsOf(round: number): number
  keepAttempts(round: number, attempts: number): Promise<void>
  /** for the server's sums */
  threads?: number | undefined
  /** the ablation: each client starts where the one before it ended */
  leak?: boolean | undefined
  onTurnout?: ((round: number, turnout: Turnout) => Promise<void>) | undefined
  onRound?: ((round: number, closed: Closed, seconds: number) => Promise<void>) | undefined
}

export interface RoundsResult {
  aggregate: Aggregate
  /** of all updates, and of what travels beside them */
  bytesUp: number
  /** of the starts after the first round, to all clients that were asked */
  bytesOfStarts: number
  /** clients' training and the server's sums */
  seconds: number
  /** the simulated time at which the last round closed, in visits of the median client */
  clock: number
}

/**
 * All rounds of a plan. One round is train + aggregate; nothing else happens in it, here or between machines.
 * @throws OneroundError REFUSED where too few updates come in; the next call draws that round anew
 */
export async function runRounds(o: RoundsOptions): Promise<RoundsResult> {
  const { plan } = o
  // Clients are taken by name, so that neither the order given nor who is ready first can change a bit.
  const clients = [...o.clients].sort()
  const result = { bytesUp: 0, bytesOfStarts: 0, seconds: 0, clock: 0 }
  const controls = plan.strategy?.name === 'scaffold' ? new ControlVariates(updateCount(plan)) : undefined
  let exact: Adapter | undefined
  let state: ServerState = {}
  for (let round = 1; ; round++) {
    checkAborted(o.signal)
    const start = startOfRound(plan, round, exact)
    const turnout = await drawRound(o, clients, round)
    result.clock += turnout.seconds
    const besideBytes = controls && round > 1 ? controls.server.byteLength : 0
    if (exact) result.bytesOfStarts += (travelBytes(exact) + besideBytes) * turnout.asked.length
    const sent = await visits(o, turnout.arriving, start, controls)
    for (const { bytes, control, seconds } of sent) {
      result.bytesUp += bytes + (control?.byteLength ?? 0)
      result.seconds += seconds
    }
    checkAborted(o.signal)
    if (controls) await takeControls(controls, plan, start, sent, clients.length)
    const kept = round < plan.rounds ? await keptRound(o, round) : undefined
    if (kept) {
      ;({ exact, state } = kept)
      continue
    }
    const began = performance.now()
    const sources = sent.map(({ source }) => source)
    const closed = await closeRound(plan, start, sources, { threads: o.threads, signal: o.signal, state })
    const seconds = (performance.now() - began) / 1000
    result.seconds += seconds
    await o.onRound?.(round, closed, seconds)
    if (closed.last) return { ...result, aggregate: closed.served }
    await o.keepExact(round, closed.exact, closed.state)
    ;({ exact, state } = closed)
  }
}

/** Who takes part; a round that misses its quorum is counted before it is refused, so that a resumed run draws another. */
async function drawRound(o: RoundsOptions, clients: readonly string[], round: number): Promise<Turnout> {
  const agreed = o.plan.participation ?? everybody
  const attempt = o.attemptsOf(round)
  const turnout = turnoutOf(clients, o.plan.train.seed, round, attempt, agreed, o.conditions)
  await o.onTurnout?.(round, turnout)
  try {
    checkQuorum(round, attempt, turnout, agreed)
  } catch (error) {
    await o.keepAttempts(round, attempt + 1)
    throw error
  }
  return turnout
}

/** What the clients send, in the order of their names. */
async function visits(
  o: RoundsOptions,
  names: readonly string[],
  start: Start,
  controls: ControlVariates | undefined,
): Promise<Sent[]> {
  const sent = new Map<string, Sent>()
  let from = start
  await eachLimited(names, o.leak ? 1 : o.concurrency, o.signal, async (client, signal) => {
    const beside = controls ? { control: controls.server, correction: controls.correction(client) } : {}
    const one = await o.updateOf(client, from, signal, beside)
    sent.set(client, one)
    if (o.leak) from = { ...start, trained: (await openUpdate(one.source, o.plan)).adapter }
  })
  return names.map((name) => sent.get(name) as Sent)
}

async function takeControls(
  controls: ControlVariates,
  plan: Plan,
  start: Start,
  sent: readonly Sent[],
  clients: number,
): Promise<void> {
  const infos: UpdateInfo[] = []
  for (const { source } of sent) infos.push((await openUpdate(source, plan)).info)
  const shares = controlShares(plan, infos, clients)
  for (const [i, { client }] of infos.entries()) {
    const bytes = sent[i]?.control ?? new Uint8Array()
    const difference = readControl(bytes, plan, client, start, controls.server.length)
    controls.take(client, difference, shares[client] ?? 0)
  }
}

/** A round that was closed by an earlier process. */
async function keptRound(o: RoundsOptions, round: number): Promise<{ exact: Adapter; state: ServerState } | undefined> {
  const [exact, state] = [await o.exactOf(round), await o.stateOf(round)]
  return exact && state ? { exact, state } : undefined
}
