/** Every arm that was run, at other lengths of its step: candidates of best against best that cost no training. */
import type { Dataset } from '../data/dataset.js'
import { OneroundError } from '../errors.js'
import { type ArmName, shapeOf } from '../federation/arms.js'
import { judge } from '../federation/judge.js'
import type { Model } from '../model/open.js'
import type { JobOptions } from '../train/job.js'
import type { Scaled } from './best.js'
import { LAMBDAS, scaled } from './lambda.js'
import { lossesOf } from './paired-runs.js'
import { exactOf, type RunEvidence } from './run-evidence.js'

/** The base and the arm itself are judged already. */
const OTHERS = LAMBDAS.filter((lambda) => lambda !== 0 && lambda !== 1)

/**
 * Held-out losses by example at base + lambda dW of each arm of each run, on both sides alike. Runs on other data, and arms
 * whose end cannot be told from their files, have none.
 * @param heldOut each client's held-out part, of the first run's data
 */
export async function scaledArms(
  runs: readonly RunEvidence[],
  base: Model,
  heldOut: ReadonlyMap<string, Dataset>,
  o: JobOptions,
): Promise<Scaled[]> {
  const [first] = runs
  const found: Scaled[] = []
  for (const run of runs) {
    if (first === undefined || !sameData(run, first)) continue
    for (const arm of run.items.keys()) {
      if (shapeOf(arm) === undefined) continue
      const end = await endOf(run, arm as ArmName)
      if (end === undefined) continue
      for (const lambda of OTHERS) {
        const { items } = await judge(base, scaled(end, lambda), heldOut, o)
        found.push({ run: run.folder, arm, lambda, losses: lossesOf(items) })
      }
    }
  }
  return found
}

const sameData = (run: RunEvidence, other: RunEvidence) =>
  run.plan.data.heldOut === other.plan.data.heldOut &&
  Object.keys(other.data).every((client) => run.data[client] === other.data[client])

async function endOf(run: RunEvidence, arm: ArmName) {
  try {
    return await exactOf(run, arm)
  } catch (error) {
    if (error instanceof OneroundError) return undefined
    throw error
  }
}
