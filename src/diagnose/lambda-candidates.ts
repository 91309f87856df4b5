/** Every arm that was run, at other lengths of its step: candidates of best against best that cost no training. */
import type { Adapter } from '../adapter/adapter.js'
import type { Dataset } from '../data/dataset.js'
import { OneroundError } from '../errors.js'
import { type ArmName, shapeOf } from '../federation/arms.js'
import { judge } from '../federation/judge.js'
import type { Model } from '../model/open.js'
import type { JobOptions } from '../train/job.js'
import type { Scaled } from './best.js'
import { LAMBDAS, scaled } from './lambda.js'
import { rowsOf } from './local-path.js'
import { lossesOf } from './paired-runs.js'
import { exactOf, type RunEvidence } from './run-evidence.js'

/** The base and the arm itself are judged already. */
const OTHERS = LAMBDAS.filter((lambda) => lambda !== 0 && lambda !== 1).sort(
  (a, b) => Math.abs(a - 1) - Math.abs(b - 1),
)

/**
 * Held-out losses by example at base + lambda dW of each arm of each run, on both sides alike. Runs on other data, and arms
 * whose end cannot be told from their files, have none.
 * @param heldOut each client's held-out part, of the first run's data
 * @param rows tokens that may be read forward: lambdas are tried one after another, nearest to 1 first, for all arms or none
 */
export async function scaledArms(
  runs: readonly RunEvidence[],
  base: Model,
  heldOut: ReadonlyMap<string, Dataset>,
  rows: number,
  o: JobOptions,
): Promise<Scaled[]> {
  const ends = await endsOf(runs)
  const each = ends.length * rowsOf([...heldOut.values()].flatMap((part) => [...part.examples]))
  const found: Scaled[] = []
  for (const [i, lambda] of OTHERS.entries()) {
    if (each === 0 || (i + 1) * each > rows) break
    for (const { run, arm, end } of ends) {
      const { items } = await judge(base, scaled(end, lambda), heldOut, o)
      found.push({ run, arm, lambda, losses: lossesOf(items) })
    }
  }
  return found
}

async function endsOf(runs: readonly RunEvidence[]): Promise<{ run: string; arm: string; end: Adapter }[]> {
  const [first] = runs
  const ends: { run: string; arm: string; end: Adapter }[] = []
  for (const run of runs) {
    if (first === undefined || !sameData(run, first)) continue
    for (const arm of run.items.keys()) {
      const end = shapeOf(arm) === undefined ? undefined : await endOf(run, arm as ArmName)
      if (end !== undefined) ends.push({ run: run.folder, arm, end })
    }
  }
  return ends
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
