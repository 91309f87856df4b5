/** The folder that travels down: the adapter that a round starts from. */
import { loadAdapter } from '../../adapter/folder.js'
import { type Start, startFrom, startOfRound } from '../../train/start.js'
import type { Plan } from '../../update/plan.js'
import { isAsynchronous } from '../federated.js'

/**
 * A round's start from its folder. Where clients come when they are ready, `round` is the client's visit, and any visit
 * may begin at what nobody has changed yet: without a folder.
 */
export async function readStart(folder: string | undefined, plan: Plan, round: number): Promise<Start> {
  const exact = folder === undefined ? undefined : await loadAdapter(folder)
  return isAsynchronous(plan) && round <= plan.rounds ? startFrom(plan, round, exact) : startOfRound(plan, round, exact)
}
