/** A last round whose aggregation lives in a state file: updates come over days, from several processes, or late. */
import { existsSync } from 'node:fs'
import { type Aggregate, type FinishOptions, type Keep, openAggregator } from '../aggregate/aggregator.js'
import { frozenFactors } from '../aggregate/frozen.js'
import type { LayerJobs } from '../aggregate/layers.js'
import { OneroundError } from '../errors.js'
import type { Start } from '../train/start.js'
import type { Plan } from '../update/plan.js'
import { servesOwnStep } from '../update/strategy-checks.js'
import type { Update } from '../update/update.js'

export interface StateRound extends LayerJobs {
  /** where the state lies or will lie */
  state: string
  /** states of other processes, to be taken in */
  merge?: readonly string[] | undefined
  updates?: Iterable<Update | string> | undefined
  /** of a new state; default 'updates' */
  keep?: Keep | undefined
  finish?: FinishOptions | undefined
}

/** Opens the state, or begins it; takes everything in, saves it, and aggregates all that is in it by now. */
export async function closeStateRound(
  plan: Plan,
  start: Start,
  o: StateRound,
): Promise<{ served: Aggregate; clients: readonly string[]; keep: Keep; state: { sha256: string; bytes: number } }> {
  if (start.round < plan.rounds) {
    throw new OneroundError('UNSUPPORTED', 'A state file is for the last round: between rounds the sum stays exact.', {
      found: `round ${start.round} of ${plan.rounds}`,
      expected: `round ${plan.rounds}`,
      fix: 'Give all update files of the round at once, without a state.',
    })
  }
  if (servesOwnStep(plan)) {
    throw new OneroundError(
      'UNSUPPORTED',
      "A state holds the clients' sum, and this server serves a step of its own.",
      {
        found: `strategy ${plan.strategy?.name}`,
        expected: 'a strategy that serves the mean',
        fix: 'Give all update files of the round at once, without a state.',
      },
    )
  }
  const { round, sha256: startSha256 } = start
  const overlay = frozenFactors(start.overlay, start.dense)
  const known = existsSync(o.state) ? o.state : undefined
  const aggregator = await openAggregator(plan, known, {
    threads: o.threads,
    signal: o.signal,
    round,
    startSha256,
    start: start.exact ?? start.trained,
    overlay,
    keep: o.keep,
  })
  for (const file of o.merge ?? []) await aggregator.merge(file)
  for (const update of o.updates ?? []) await aggregator.add(update)
  const state = await aggregator.save(o.state)
  const served = await aggregator.finish(o.finish)
  return { served, clients: aggregator.clients, keep: aggregator.keep, state }
}
