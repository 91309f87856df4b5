import { createHash } from 'node:crypto'
import { join } from 'node:path'
import type { Model } from '../model/open.js'
import type { SessionOptions } from '../native/binding/session.js'
import { Clock, checkAborted } from '../train/job.js'
import type { Start } from '../train/start.js'
import { canonicalJson } from '../update/canonical.js'
import { adapterSha256 } from '../update/digest.js'
import { type Plan, planSha256 } from '../update/plan.js'
import type { Update } from '../update/update.js'
import type { Coalition } from './coalition.js'
import type { HeldOut } from './held-out.js'
import { type Kept, keptInFile, keptInMemory } from './kept.js'
import { openMixture } from './mixture.js'
import type { ValueOptions } from './options.js'

/** One round's updates and the text that they are valued on. */
export interface Round {
  base: Model
  plan: Plan
  start: Start
  /** by client name, checked */
  updates: readonly Update[]
  /** p_i in the order of the updates, summing to 1 */
  weights: readonly number[]
  heldOut: HeldOut
  shape: Pick<SessionOptions, 'threads' | 'rowsPerPass' | 'longestExample'>
}

/** Weights renormalised among the members; all 0 where nobody weighs anything. */
export function coefficientsOf(coalition: Coalition, weights: readonly number[]): number[] {
  const own = weights.map((weight, client) => (coalition[client] === '1' ? weight : 0))
  const sum = own.reduce((total, weight) => total + weight, 0)
  return sum > 0 ? own.map((weight) => weight / sum) : own
}

/** The losses of all wanted coalitions: those that are kept, and the others evaluated one after another in one session. */
export async function coalitionLosses(
  round: Round,
  wanted: readonly Coalition[],
  o: ValueOptions,
): Promise<(coalition: Coalition) => Float64Array> {
  const { base, start, updates, weights, heldOut, shape } = round
  const clients = updates.map(({ info }) => info.client)
  const game = { sha256: gameSha256(round), clients, parts: heldOut.parts }
  const kept: Kept =
    o.keep === undefined ? keptInMemory() : await keptInFile(join(o.keep, `${game.sha256.slice(0, 16)}.jsonl`), game)
  try {
    const missing = wanted.filter((coalition) => kept.get(coalition) === undefined)
    if (missing.length > 0) {
      using mixture = openMixture(base, start, updates, { ...shape, training: false }, { onMemory: o.onMemory })
      const tell = teller(heldOut.rows, wanted.length - missing.length, wanted.length, o)
      for (const [at, coalition] of missing.entries()) {
        checkAborted(o.signal)
        mixture.set(coefficientsOf(coalition, weights))
        const losses = await heldOut.losses(mixture, { signal: o.signal, onRows: (rows) => tell(at, rows) })
        await kept.keep(coalition, losses)
      }
    }
  } finally {
    await kept.close()
  }
  return (coalition) => kept.get(coalition) as Float64Array
}

/** Progress in tokens read, over all coalitions. */
function teller(rows: number, before: number, coalitions: number, o: ValueOptions): (at: number, rows: number) => void {
  const clock = new Clock(before * rows)
  const all = coalitions * rows
  return (at, read) => {
    const done = (before + at) * rows + read
    o.onProgress?.({ phase: 'value', done, total: all, secondsLeft: clock.secondsLeft(done, all) })
  }
}

/** Everything that a coalition's losses depend on. */
function gameSha256({ plan, start, updates, weights, heldOut }: Round): string {
  const clients = updates.map(({ info, adapter }, i) => [info.client, weights[i] ?? 0, adapterSha256(adapter)])
  const { round, sha256: startSha256 } = start
  const { sha256: data, parts } = heldOut
  const game = { plan: planSha256(plan), round, startSha256, clients, data, parts }
  return createHash('sha256').update(canonicalJson(game)).digest('hex')
}
