import { join } from 'node:path'
import { OneroundError } from '../errors.js'
import { ownArm, planOfArm, shapeOf } from '../federation/arms.js'
import { readRun } from '../run/folder.js'
import type { RunState } from '../run/state.js'
import { type Plan, parsePlan, planSha256 } from '../update/plan.js'
import { readValuation, type Valuation } from '../valuation/valuation.js'

/** What `oneround value` left in a run folder, and the arm whose last round it is of. */
export interface Valued {
  arm: string
  valuation: Valuation
}

/** A run folder's valuation; undefined where there is none, or where it is damaged or of another run's plan. */
export async function readValued(folder: string): Promise<Valued | undefined> {
  const { plan, state } = await readRun(folder)
  return valuedOf(folder, parsePlan(plan, join(folder, 'plan.json')), state)
}

/** The same for a run that is read already. */
export async function valuedOf(folder: string, plan: Plan, state: RunState): Promise<Valued | undefined> {
  const valuation = await readValuation(join(folder, 'valuation.json')).catch(unreadable)
  if (valuation === undefined) return undefined
  const trained = Object.keys(state.files).map((file) => /^updates\/([^/]+)\//.exec(file)?.[1] ?? '')
  const arm = [ownArm(plan), ...new Set(trained)].find((name) => {
    const shape = shapeOf(name)
    return shape?.rounds === valuation.round && planSha256(planOfArm(plan, shape)) === valuation.planSha256
  })
  return arm === undefined ? undefined : { arm, valuation }
}

function unreadable(failure: unknown): undefined {
  if (failure instanceof OneroundError) return undefined
  throw failure
}
