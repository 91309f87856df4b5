import type { Adapter } from '../adapter/adapter.js'
import type { Aggregate } from '../aggregate/aggregator.js'
import { checkAborted } from '../train/job.js'
import { type Start, startOfRound } from '../train/start.js'
import type { Plan } from '../update/plan.js'
import { eachLimited } from './limited.js'
import { type Closed, closeRound, travelBytes } from './server.js'
import type { Sent } from './store.js'

/** What a federation needs from whoever carries its files. */
export interface RoundsOptions {
  plan: Plan
  /** all of them take part in every round */
  clients: readonly string[]
  /** clients that work at once */
  concurrency: number
  signal?: AbortSignal | undefined
  /** a client's part: from the start to its update, and the seconds it took */
  updateOf(client: string, start: Start, signal: AbortSignal): Promise<Sent>
  /** the exact aggregate of a round that was closed before */
  exactOf(round: number): Promise<Adapter | undefined>
  keepExact(round: number, exact: Adapter): Promise<void>
  /** for the server's sums */
  threads?: number | undefined
  onRound?: ((round: number, closed: Closed, seconds: number) => Promise<void>) | undefined
}

export interface RoundsResult {
  aggregate: Aggregate
  /** of all updates */
  bytesUp: number
  /** of the starts after the first round, to all clients */
  bytesOfStarts: number
  /** clients' training and the server's sums */
  seconds: number
}

/** All rounds of a plan. One round is train + aggregate; nothing else happens in it, here or between machines. */
export async function runRounds(o: RoundsOptions): Promise<RoundsResult> {
  const { plan } = o
  // Clients are taken by name, so that neither the order given nor who is ready first can change a bit.
  const clients = [...o.clients].sort()
  const result = { bytesUp: 0, bytesOfStarts: 0, seconds: 0 }
  let exact: Adapter | undefined
  for (let round = 1; ; round++) {
    checkAborted(o.signal)
    const start = startOfRound(plan, round, exact)
    if (exact) result.bytesOfStarts += travelBytes(exact) * clients.length
    const updates = new Map<string, Sent['source']>()
    await eachLimited(clients, o.concurrency, o.signal, async (client, signal) => {
      const sent = await o.updateOf(client, start, signal)
      updates.set(client, sent.source)
      result.bytesUp += sent.bytes
      result.seconds += sent.seconds
    })
    checkAborted(o.signal)
    const inOrder = clients.map((client) => updates.get(client) as Sent['source'])
    const kept = round < plan.rounds ? await o.exactOf(round) : undefined
    if (kept) {
      exact = kept
      continue
    }
    const began = performance.now()
    const closed = await closeRound(plan, start, inOrder, { threads: o.threads, signal: o.signal })
    const seconds = (performance.now() - began) / 1000
    result.seconds += seconds
    await o.onRound?.(round, closed, seconds)
    if (closed.last) return { ...result, aggregate: closed.served }
    await o.keepExact(round, closed.exact)
    exact = closed.exact
  }
}
