/** Evidence of run folders: both arms were run, so the answer is measured; base and data add the reasons. */

import type { Adapter } from '../adapter/adapter.js'
import type { Dataset } from '../data/dataset.js'
import { OneroundError } from '../errors.js'
import { type ArmName, planOfArm, shapeOf } from '../federation/arms.js'
import type { Model } from '../model/open.js'
import type { JobOptions } from '../train/job.js'
import { checkBase } from '../train/prepare.js'
import { dataDigest } from '../train/train.js'
import type { Plan } from '../update/plan.js'
import type { Scaled } from './best.js'
import { blank } from './blank.js'
import { costOf, type Links } from './cost.js'
import { featuresOf } from './features.js'
import { measureGap } from './gap.js'
import { scaledArms } from './lambda-candidates.js'
import { experimentOf, type Pairing, pairRuns } from './paired-runs.js'
import { measureReasons } from './reasons.js'
import { armsAtHorizon, exactOf, type RunArm, type RunEvidence, readRunEvidence, updatesOf } from './run-evidence.js'
import { bestOf } from './search.js'
import { measureSimilarity } from './similarity.js'
import { baseNorms, measureTravel } from './travel.js'
import { compareArms, type Margin } from './truth.js'
import { type Diagnosis, isKnown, type Known } from './types.js'
import { besideBest, notEnough, verdictOfComparison } from './verdict.js'

interface SimulationEvidence extends JobOptions {
  /** run folders: seeds of one experiment, and others to choose the best settings from; the first gives the details */
  runs: readonly string[]
  base?: Model | undefined
  /** all clients' data, as it was simulated */
  clients?: Record<string, Dataset> | undefined
  margin?: Margin | undefined
  budget?: number | undefined
  links?: Links | undefined
}

export async function diagnoseSimulation(o: SimulationEvidence): Promise<Diagnosis> {
  const runs = await Promise.all(o.runs.map((run) => readRunEvidence(run)))
  const [first] = runs
  if (first === undefined) {
    throw new OneroundError('ARGUMENT', 'There is no run to diagnose.', { fix: 'Give at least one run folder.' })
  }
  const { plan } = first
  const result = blank('simulation', plan)
  result.plan.clients = first.clients.length
  if (o.base) await checkBase(o.base, plan)
  const clients = o.clients === undefined ? undefined : checkedClients(o.clients, first)
  const group = runs.filter((run) => experimentOf(run) === experimentOf(first))
  const pairing = pairRuns(group)
  if ('reason' in pairing) {
    result.verdict = notEnough(pairing)
    result.comparison = { unknown: pairing.reason }
  } else {
    const arms = { one: first.arms.get(pairing.one) as RunArm, several: first.arms.get(pairing.several) as RunArm }
    result.comparison = compareArms(pairing, arms, o.margin)
    result.verdict = verdictOfComparison(result.comparison)
    result.notes.push(...pairing.left)
    result.cost = costOfRun(first, pairing, arms, o.links)
  }
  const { one, several } = armsAtHorizon(first.plan, first.arms.keys())
  if (one !== undefined) await measureArms(result, first, one, several, { ...o, clients })
  result.best = bestOf(runs, o.base && clients ? await affordable(result, runs, o.base, clients, o) : [])
  if (isKnown(result.best) && isKnown(result.comparison))
    result.verdict = besideBest(result.verdict, result.best, result.comparison.margin)
  result.features = featuresOf(result)
  return result
}

/** Other lambdas within what is left of the budget; a row read forward alone costs a third of one read back, too. */
async function affordable(
  { spent }: Diagnosis,
  runs: readonly RunEvidence[],
  base: Model,
  clients: ReadonlyMap<string, Dataset>,
  o: JobOptions,
): Promise<Scaled[]> {
  const left = spent.limit * spent.trainingRows * runs.length - spent.rows
  return scaledArms(runs, base, heldOutOf(clients, (runs[0] as RunEvidence).plan), 3 * left, o)
}

/** In the order of the clients' names, as a run keeps its items. */
function heldOutOf(clients: ReadonlyMap<string, Dataset>, { data }: Plan): Map<string, Dataset> {
  return new Map(
    [...clients.keys()].sort().map((name) => [name, (clients.get(name) as Dataset).heldOut(data.heldOut).heldOut]),
  )
}

/** What the kept updates and states of the first run say. */
async function measureArms(
  result: Diagnosis,
  run: RunEvidence,
  one: ArmName,
  several: ArmName | undefined,
  o: Omit<SimulationEvidence, 'clients'> & { clients: ReadonlyMap<string, Dataset> | undefined },
): Promise<void> {
  if (run.clients.length < 2) {
    result.similarity = { unknown: 'one client has nobody to differ from' }
    result.verdict = notEnough({ reason: 'one client is no federation', enough: 'at least two clients' })
  } else {
    const shape = shapeOf(one) ?? { rounds: 1, epochs: run.plan.train.epochs }
    result.similarity = await tried(async () =>
      measureSimilarity(planOfArm(run.plan, shape), await updatesOf(run, one, 1)),
    )
  }
  const ends = await tried(async () => ({
    one: await exactOf(run, one),
    several: several === undefined ? undefined : await exactOf(run, several),
  }))
  if ('unknown' in ends) {
    result.gap = ends
    return
  }
  if (ends.several && several) result.gap = await measureGap(ends.one, ends.several, { one, several })
  if (!o.base) return
  const norms = await baseNorms(o.base, run.plan)
  const path: { step: number; adapter: Adapter }[] = []
  result.travel = await measureTravel(ends.one, norms, { what: one }, path)
  if (o.clients) await measureReasons(result, run, { one, several }, ends, { ...o, base: o.base, clients: o.clients })
}

/** A kept file may be gone: what was to be made of it is then unknown, and the rest still told. */
async function tried<T extends object>(work: () => Promise<T>): Promise<Known<T>> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof OneroundError && ['NOT_FOUND', 'MALFORMED', 'MISMATCH', 'UNSUPPORTED'].includes(error.code))
      return { unknown: error.message }
    throw error
  }
}

function costOfRun(
  run: RunEvidence,
  pairing: Pairing,
  arms: { one: RunArm; several: RunArm },
  links: Links | undefined,
): Diagnosis['cost'] {
  const own = Object.entries(run.seconds).filter(([key]) => key.startsWith(`${pairing.one}/`))
  if (own.length === 0) return { unknown: 'the run kept no times' }
  const horizon = run.plan.rounds * run.plan.train.epochs
  return costOf(
    {
      clients: run.clients.length,
      horizon,
      secondsEach: own.reduce((sum, [, seconds]) => sum + seconds, 0) / own.length,
      measured: 'the run: its bytes, and the mean time of a client on the machine that simulated',
      arms: [
        { what: pairing.one, rounds: 1, bytesUp: arms.one.bytesUp, bytesDown: arms.one.bytesDown },
        {
          what: pairing.several,
          rounds: Number(pairing.several.split('x')[0]),
          bytesUp: arms.several.bytesUp,
          bytesDown: arms.several.bytesDown,
        },
      ],
    },
    links,
  )
}

/** The data of the run and no other. */
function checkedClients(clients: Record<string, Dataset>, run: RunEvidence): Map<string, Dataset> {
  for (const name of run.clients) {
    const data = clients[name]
    if (data !== undefined && dataDigest(data) === run.data[name]) continue
    throw new OneroundError('MISMATCH', `The data of client '${name}' is not that of the run.`, {
      found:
        data === undefined ? `data of ${Object.keys(clients).slice(0, 20).join(', ')}` : `${data.count} other examples`,
      expected: 'the data that the run was simulated with, divided in the same way',
      fix: 'Give the same files and split, or leave the data out.',
    })
  }
  return new Map(run.clients.map((name) => [name, clients[name] as Dataset]))
}
