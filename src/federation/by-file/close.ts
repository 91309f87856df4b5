/** A server's part of a round where files go between machines: update files in, the next start or the served adapter out. */
import { join } from 'node:path'
import type { Adapter } from '../../adapter/adapter.js'
import type { Aggregate, FinishOptions } from '../../aggregate/aggregator.js'
import type { LayerJobs } from '../../aggregate/layers.js'
import { OneroundError } from '../../errors.js'
import { startFrom } from '../../train/start.js'
import { FEDAVG, type Plan } from '../../update/plan.js'
import { everybody } from '../participation.js'
import { type Closed, closeRound } from '../server.js'
import { keepsState } from '../strategies/choose.js'
import type { ServerState } from '../strategies/strategy.js'
import { closeBuffered } from './buffered.js'
import { nextControl, readServerControl, writeServerControl } from './controls.js'
import { readStep, writeStep } from './server-folder.js'
import { readStart } from './start-folder.js'

export interface CloseFilesOptions extends LayerJobs {
  /** from 1; not of fedbuff, whose server counts its own steps */
  round?: number | undefined
  /** from round 2: the folder that was made of the round before */
  start?: string | undefined
  /** where the strategy keeps something at the server: a folder that never travels */
  server?: string | undefined
  /** fedbuff: no more updates will come; serve what there is */
  isLast?: boolean | undefined
  /** of the last round */
  finish?: FinishOptions | undefined
  /** the folder to write: what the next round starts from, or what is served */
  out: string
}

/** What is in `out` now. */
export type ClosedFiles =
  | { last: true; served: Aggregate }
  /** `round` is what was closed: a round, or fedbuff's server step */
  | { last: false; exact: Adapter; round: number }

/**
 * Closes a round by its update files, under any strategy but one that has no rounds and no buffer. Beside each update
 * lies what its strategy lets travel with it; order changes no bit.
 * @throws OneroundError ARGUMENT where the strategy needs a server folder; REFUSED by client, rule, value and limit
 */
export async function closeFiles(plan: Plan, updates: readonly string[], o: CloseFilesOptions): Promise<ClosedFiles> {
  checkPlace(plan, o)
  if (plan.strategy?.name === 'fedbuff') return closeBuffered(plan, plan.strategy, updates, o)
  const { round = 1, out, finish, signal, threads } = o
  const start = await readStart(o.start, plan, round)
  checkCount(plan, updates.length, round)
  const name = plan.strategy?.name
  const isLast = round === plan.rounds
  const control =
    name === 'scaffold' && !isLast
      ? await nextControl(await readServerControl(o.start, plan, start), plan, start, updates)
      : undefined
  const state = await stateBefore(plan, round, start.sha256, o.server)
  const closed = await closeRound(plan, start, updates, { signal, threads, finish: finish ?? {}, state })
  if (closed.last) {
    await closed.served.adapter.save(out)
    return closed
  }
  await keep(plan, round, closed, o)
  if (control) await writeServerControl(out, plan, startFrom(plan, round + 1, closed.exact), control)
  return { last: false, exact: closed.exact, round }
}

/** The server's own part first: a start without it could not be closed. */
async function keep(
  plan: Plan,
  round: number,
  { exact, state }: Extract<Closed, { last: false }>,
  { server, out }: CloseFilesOptions,
): Promise<void> {
  if (server !== undefined && keepsState(plan.strategy ?? FEDAVG)) {
    const { sha256: startSha256 } = startFrom(plan, round + 1, exact)
    await writeStep(server, stepName(round), plan, { startSha256, adapters: state })
  }
  await exact.save(out)
}

/** What the strategy kept of the round before; of a rule that keeps nothing, nothing. */
async function stateBefore(
  plan: Plan,
  round: number,
  startSha256: string,
  server: string | undefined,
): Promise<ServerState> {
  if (round === 1 || server === undefined || !keepsState(plan.strategy ?? FEDAVG)) return {}
  const step = await readStep(server, stepName(round - 1), plan)
  if (step.startSha256 === startSha256) return step.adapters
  throw new OneroundError('MISMATCH', `What ${join(server, stepName(round - 1))} keeps is of another start.`, {
    found: `start ${step.startSha256}`,
    expected: `start ${startSha256}`,
    fix: 'Give the server folder and the start that one closing wrote.',
  })
}

const stepName = (round: number) => `round-${round}`

/** A strategy that remembers needs somewhere to; one that does not is not given a folder that stays empty. */
function checkPlace(plan: Plan, { server, isLast, finish }: CloseFilesOptions): void {
  const rule = plan.strategy ?? FEDAVG
  const needs = rule.name === 'fedbuff' || (keepsState(rule) && plan.rounds > 1)
  if (needs && server === undefined)
    throw new OneroundError('ARGUMENT', `The strategy '${rule.name}' keeps something at the server between rounds.`, {
      found: 'no server folder',
      expected: 'a folder for it, the same in every round; it never travels',
      fix: 'Add --server FOLDER (API: server).',
    })
  if (!needs && server !== undefined)
    throw new OneroundError('ARGUMENT', `The strategy '${rule.name}' keeps nothing at the server.`, {
      found: '--server',
      expected: 'no server folder',
      fix: 'Leave --server out.',
    })
  const isBuffered = rule.name === 'fedbuff'
  if (isLast === true && !isBuffered)
    throw new OneroundError('ARGUMENT', '--last is for fedbuff: other strategies know their last round.', {
      found: rule.name,
      expected: 'fedbuff',
      fix: `Give --round ${plan.rounds} instead.`,
    })
  if (isBuffered && Object.keys(finish ?? {}).length > 0)
    throw new OneroundError('ARGUMENT', "The server's own steps have no updates for a method to work on.", {
      found: Object.keys(finish ?? {}).join(', '),
      expected: 'none of them with fedbuff',
      fix: 'Leave them out.',
    })
}

function checkCount(plan: Plan, updates: number, round: number): void {
  const { minimumClients } = plan.participation ?? everybody
  if (updates >= minimumClients) return
  throw new OneroundError('REFUSED', `Round ${round} has too few updates to be closed.`, {
    found: `${updates}`,
    expected: `at least ${minimumClients} (minimumClients)`,
    fix: 'Wait for more clients, or lower the minimum in a new plan.',
  })
}
