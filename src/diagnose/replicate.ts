/** The question answered in one call: the same federation simulated under several seeds and learning rates, and diagnosed. */
import { join } from 'node:path'
import type { Dataset } from '../data/dataset.js'
import { OneroundError } from '../errors.js'
import { type ArmName, checkCompare, defaultCompare, horizonOf, shapeOf } from '../federation/arms.js'
import { type SimulateOptions, simulate } from '../federation/simulate.js'
import type { Model } from '../model/open.js'
import { isRunFolder } from '../run/folder.js'
import { type Plan, parsePlan } from '../update/plan.js'
import { checkShares, type DiagnoseOptions, diagnose } from './diagnose.js'
import { armsAtHorizon } from './run-evidence.js'
import { LEAST_SEEDS } from './truth.js'
import type { Diagnosis } from './types.js'

const MOST_SEEDS = 100
const MOST_RATES = 16

export interface ReplicateOptions extends SimulateOptions, Pick<DiagnoseOptions, 'margin' | 'budget' | 'links'> {
  /** holds a run folder of each: FOLDER/seed-0, FOLDER/learning-rate-0.001/seed-0 */
  folder: string
  /** simulations of each setting; the plan's seed and those after it. Default 3, the fewest that a verdict takes */
  seeds?: number | undefined
  /** peak learning rates to try beside the plan's: candidates of best against best, on each side by itself */
  learningRates?: readonly number[] | undefined
  onRun?: ((run: Replicate) => void) | undefined
}

/** One of the simulations. */
export interface Replicate {
  folder: string
  seed: number
  learningRate: number
  /** place among all, from 1 */
  index: number
  count: number
}

/**
 * Simulates every learning rate under every seed, on one division of the data, and diagnoses all of them together: the
 * plan's own rate gives the verdict, all of them best against best. With `resume`, what is finished is not redone.
 * @param clients as of `simulate`; every simulation has the same ones
 * @throws OneroundError ARGUMENT (counts, rates, arms that no verdict can be told of, a folder that is a run itself), else as simulate and diagnose
 */
export async function replicate(
  base: Model,
  clients: Record<string, Dataset>,
  plan: Plan,
  { seeds = LEAST_SEEDS, learningRates = [], onRun, margin, budget, links, ...o }: ReplicateOptions,
): Promise<{ runs: Replicate[]; diagnosis: Diagnosis }> {
  checkSeeds(seeds)
  checkRates(learningRates)
  checkShares({ budget, margin })
  await checkFolder(o.folder)
  const compare = checkCompare(o.compare ?? defaultCompare(plan))
  checkComparable(plan, compare)
  const runs = replicatesOf(plan, seeds, learningRates, o.folder)
  for (const run of runs) {
    onRun?.(run)
    const isOwn = run.learningRate === plan.train.learningRate
    const train = { ...plan.train, seed: run.seed, learningRate: run.learningRate }
    await simulate(base, clients, parsePlan({ ...plan, train }), {
      ...o,
      folder: run.folder,
      compare: isOwn ? compare : compare.filter(isCandidate),
    })
  }
  const { signal, onProgress, threads } = o
  const run = runs.map(({ folder }) => folder)
  const common = { signal, onProgress, threads, margin, budget, links }
  return { runs, diagnosis: await diagnose({ ...common, run, base, clients }) }
}

/** The plan's own rate first: the first run's setting is the one that the verdict is about. */
function replicatesOf(plan: Plan, seeds: number, more: readonly number[], folder: string): Replicate[] {
  const { seed: first, learningRate: own } = plan.train
  const rates = [own, ...more.filter((rate) => rate !== own)]
  const count = rates.length * seeds
  return rates.flatMap((learningRate, at) =>
    Array.from({ length: seeds }, (_, i) => ({
      folder: join(folder, ...(at === 0 ? [] : [`learning-rate-${learningRate}`]), `seed-${first + i}`),
      seed: first + i,
      learningRate,
      index: at * seeds + i + 1,
      count,
    })),
  )
}

/** Arms whose best setting is asked for, and what their gains are measured from. */
function isCandidate(arm: ArmName): boolean {
  return arm === 'base' || shapeOf(arm) !== undefined
}

function checkSeeds(seeds: number): void {
  if (Number.isSafeInteger(seeds) && seeds >= 1 && seeds <= MOST_SEEDS) return
  throw new OneroundError('ARGUMENT', 'The number of seeds is out of range.', {
    found: String(seeds),
    expected: `1 to ${MOST_SEEDS}`,
    fix: `Give ${LEAST_SEEDS}, the fewest that a verdict takes, or a few more.`,
  })
}

function checkRates(rates: readonly number[]): void {
  const wrong = rates.find((rate) => !(rate > 0 && Number.isFinite(rate)))
  if (wrong === undefined && rates.length <= MOST_RATES && new Set(rates).size === rates.length) return
  throw new OneroundError('ARGUMENT', 'These are no learning rates to try.', {
    found: rates.slice(0, MOST_RATES + 1).join(', '),
    expected: `up to ${MOST_RATES} different ones, each above 0`,
    fix: "Give a few around the plan's, such as a third and three times of it.",
  })
}

/** Before hours of training rather than after them: a verdict compares one round with several, and both with the base. */
function checkComparable(plan: Plan, compare: readonly ArmName[]): void {
  const { one, several } = armsAtHorizon(plan, compare)
  if (one !== undefined && several !== undefined && compare.includes('base')) return
  const horizon = horizonOf(plan)
  throw new OneroundError('ARGUMENT', 'These arms give no verdict on one round against several.', {
    found: compare.join(', '),
    expected: `the base, one round and several rounds, at horizon ${horizon}`,
    fix:
      horizon < 2
        ? 'Train for more epochs (--epochs 3).'
        : `Compare at least base,1x${horizon},${horizon}x1 (--compare).`,
  })
}

async function checkFolder(folder: string): Promise<void> {
  if (!(await isRunFolder(folder))) return
  throw new OneroundError('ARGUMENT', 'The folder is a run itself; several seeds need one that holds runs.', {
    found: folder,
    expected: 'a new folder, or one of an earlier run of several seeds',
    fix: 'Choose another folder (--out).',
  })
}
