/** What a simulation with base and data can explain: smoothness along the way, disagreement, lambda, the line between arms. */
import { join } from 'node:path'
import type { Adapter } from '../adapter/adapter.js'
import { loadAdapter } from '../adapter/folder.js'
import { resolveWeights } from '../aggregate/weights.js'
import type { Dataset } from '../data/dataset.js'
import type { ArmName } from '../federation/arms.js'
import { shapeOf } from '../federation/arms.js'
import type { Model } from '../model/open.js'
import type { JobOptions } from '../train/job.js'
import { blend } from './blend.js'
import { Budget } from './budget.js'
import { measureDisagreement } from './disagreement.js'
import { boundsOf } from './gap.js'
import { lossAt, measureLambda } from './lambda.js'
import { rowsOf } from './local-path.js'
import { Probe } from './probe.js'
import { placeOf, type RunEvidence, updatesOf } from './run-evidence.js'
import { measureSmoothness } from './smoothness.js'
import { baseNorms, measureTravel } from './travel.js'
import { type Diagnosis, isKnown } from './types.js'

/** A simulation is there to explain, so it may look longer than a client before training. */
const BUDGET_SHARE = 0.25
const LINE = [0, 0.25, 0.5, 0.75, 1]

export async function measureReasons(
  result: Diagnosis,
  run: RunEvidence,
  names: { one: ArmName; several: ArmName | undefined },
  ends: { one: Adapter; several: Adapter | undefined },
  o: JobOptions & { base: Model; clients: ReadonlyMap<string, Dataset>; budget?: number | undefined },
): Promise<void> {
  const { plan } = run
  const { base } = o
  const parts = [...o.clients].map(([client, data]) => ({ client, ...data.heldOut(plan.data.heldOut) }))
  const training = parts.flatMap(({ train }) => [...train.examples])
  const heldOut = new Map(parts.map(({ client, heldOut: part }) => [client, part]))
  const horizon = plan.rounds * plan.train.epochs
  const perBatch = plan.train.batch * plan.train.accumulate
  const budget = new Budget(rowsOf(training) * horizon, o.budget ?? BUDGET_SHARE)
  const states = names.several === undefined ? [] : await statesOf(run, names.several)
  const points = ends.several === undefined ? [ends.one] : [...states, ends.several]
  const steps = Math.ceil(training.length / parts.length / perBatch)
  const norms = await baseNorms(base, plan)
  if (names.several !== undefined) {
    const epochs = shapeOf(names.several)?.epochs ?? 1
    const path = points.map((adapter, i) => ({ step: (i + 1) * steps * epochs, adapter }))
    result.travel = await measureTravel(
      ends.one,
      norms,
      { what: `${names.one}; its path is that of ${names.several}` },
      path,
    )
  }
  using probe = new Probe(base, plan, training, o)
  const last = points.at(-1) as Adapter
  const distance = (await measureTravel(last, norms, { what: 'end' })).distance
  const measured = await measureSmoothness(
    { probe, points, distance, examples: training, perBatch, seed: plan.train.seed },
    budget,
  )
  result.smoothness = measured.smoothness
  result.curvature = measured.curvature
  result.noise = measured.noise
  const L = measured.smoothness.ends?.mean
  if (L !== undefined && isKnown(result.travel)) {
    const { tau, baseNorm } = result.travel
    result.bounds = boundsOf(plan, { L, tau, baseNorm, rounds: horizon, steps, clients: parts.length })
  }
  if (parts.length > 1) {
    const infos = (await updatesOf(run, names.one, 1)).map(({ info }) => info)
    const weights = resolveWeights(plan.aggregate.weights, infos)
    const rowsEach = Math.max(rowsOf(training.slice(0, perBatch)), (0.2 * budget.limit) / parts.length)
    const before = probe.rows
    result.disagreement = await measureDisagreement(
      probe,
      new Map(parts.map(({ client, train }) => [client, train])),
      weights,
      rowsEach,
    )
    budget.spent += probe.rows - before
  }
  result.lambda = await measureLambda(base, ends.one, heldOut, plan.train.seed, { ...o, perLayer: probe })
  if (ends.several !== undefined && isKnown(result.gap)) {
    const all = [...heldOut.values()].flatMap((part) => [...part.examples])
    result.gap.line = []
    for (const t of LINE)
      result.gap.line.push({ t, loss: await lossAt(base, blend(ends.one, ends.several, t), 1, all, o) })
  }
  result.spent = budget.told()
}

/** The exact aggregates between the rounds of an arm. */
function statesOf(run: RunEvidence, name: ArmName): Promise<Adapter[]> {
  const rounds = shapeOf(name)?.rounds ?? 1
  return Promise.all(
    Array.from({ length: rounds - 1 }, (_, i) => loadAdapter(join(run.folder, 'state', placeOf(name), String(i + 1)))),
  )
}
