/** Evidence of one client with its data, before training: how far a short run goes, and how the gradient turns. */
import type { Dataset } from '../data/dataset.js'
import type { Model } from '../model/open.js'
import type { JobOptions } from '../train/job.js'
import { checkBase } from '../train/prepare.js'
import type { Plan } from '../update/plan.js'
import { blank } from './blank.js'
import { Budget } from './budget.js'
import { costOf, type Links } from './cost.js'
import { featuresOf } from './features.js'
import { boundsOf } from './gap.js'
import { followLocally, type LocalPath, prepareLocal } from './local-path.js'
import { Probe } from './probe.js'
import { type Calibration, verdictOfRule } from './rule.js'
import { measureSmoothness } from './smoothness.js'
import { mean } from './statistics.js'
import { baseNorms, measureTravel, projectTau } from './travel.js'
import type { Diagnosis } from './types.js'
import { notEnough } from './verdict.js'

/** Share of the training's cost that a diagnosis may take. */
const BUDGET_SHARE = 0.05
/** Steps below which there is no path to speak of. */
const LEAST_STEPS = 4
/** A loss that grew by this factor is no training. */
const WORSE = 1.2

interface ClientEvidence extends JobOptions {
  base: Model
  data: Dataset
  plan: Plan
  budget?: number | undefined
  links?: Links | undefined
  calibration: Calibration | undefined
}

export async function diagnoseClient(o: ClientEvidence): Promise<Diagnosis> {
  const { base, data, plan } = o
  await checkBase(base, plan)
  const result = blank('client', plan)
  const { training, steps, perStep } = prepareLocal(data, plan, o)
  const share = o.budget ?? BUDGET_SHARE
  if (training.count <= perStep) {
    result.verdict = notEnough({
      reason: `${training.count} training examples are one batch of ${perStep}: nothing differs from step to step`,
      enough: `at least ${2 * perStep} training examples`,
    })
    return result
  }
  // Half of what may be spent goes into the path, half into gradients along it.
  const path = await followLocally(base, data, plan, Math.max(LEAST_STEPS, Math.round((share / 2) * steps)), o)
  const budget = new Budget(path.trainingRows, share)
  budget.spent = path.rows
  const end = path.points.at(-1)
  if (path.diverged || end === undefined || end.step === 0) {
    result.verdict = notEnough({
      reason: `training diverged at step ${path.steps + 1}: a loss or gradient was not finite`,
      enough: 'a smaller learning rate',
    })
    result.spent = budget.told()
    return result
  }
  if (hasGrown(path.losses)) {
    result.verdict = notEnough({
      reason: `training diverged: the loss went from ${path.losses[0]?.toPrecision(3)} to ${path.losses.at(-1)?.toPrecision(3)} nats a token`,
      enough: 'a smaller learning rate',
    })
    result.spent = budget.told()
    return result
  }
  result.travel = await measureTravel(
    end.adapter,
    await baseNorms(base, plan),
    { what: 'a short run of one client', steps: path.steps, ofSteps: path.ofSteps },
    path.points,
  )
  using probe = new Probe(base, plan, training.examples, o)
  const measured = await measureSmoothness(
    {
      probe,
      points: path.points.slice(1).map(({ adapter }) => adapter),
      distance: result.travel.distance,
      examples: training.examples,
      perBatch: perStep,
      seed: plan.train.seed,
    },
    budget,
  )
  result.smoothness = measured.smoothness
  result.curvature = measured.curvature
  result.noise = measured.noise
  const tau = projectTau(result.travel)
  const horizon = plan.rounds * plan.train.epochs
  const L = measured.smoothness.ends?.mean
  if (tau !== undefined && L !== undefined && plan.clients.length > 0) {
    result.bounds = boundsOf(plan, {
      L,
      tau,
      baseNorm: result.travel.baseNorm,
      rounds: horizon,
      steps: steps / horizon,
      clients: plan.clients.length,
    })
    result.notes.push(
      'The bounds take tau projected to the whole horizon, L of the short run, and a client like this one.',
    )
  }
  result.cost = planCost(plan, path, o.links)
  result.features = featuresOf(result)
  result.verdict = verdictOfRule('client', result, o.calibration)
  result.spent = budget.told()
  if (result.spent.share > share) {
    result.notes.push('The least that gives an interval costs more than the budget here: the training itself is short.')
  }
  if (!measured.smoothness.settled)
    result.verdict.missing.push({ reason: 'L is known only roughly', enough: 'a larger --budget' })
  return result
}

/** Whether the last losses lie far above the first: training that blows up without overflowing. */
export function hasGrown(losses: readonly number[]): boolean {
  return mean(losses.slice(-LEAST_STEPS)) > WORSE * (losses[0] ?? Number.POSITIVE_INFINITY)
}

/** From the plan alone: what trains travels as 32-bit floats; a carried start has at most the ranks of all clients. */
function planCost(plan: Plan, path: LocalPath, links: Links | undefined) {
  const horizon = plan.rounds * plan.train.epochs
  const clients = plan.clients.length
  if (clients === 0) return { unknown: 'the plan does not say how many clients there are' }
  const { update, start } = bytesOf(plan, clients)
  const arms = [{ what: `1x${horizon}`, rounds: 1, bytesUp: update * clients, bytesDown: update * clients }]
  if (horizon > 1)
    arms.push({
      what: `${horizon}x1`,
      rounds: horizon,
      bytesUp: update * clients * horizon,
      bytesDown: clients * (start * (horizon - 1) + update),
    })
  const secondsEach = (path.seconds / Math.max(1, path.steps)) * path.ofSteps
  return costOf(
    { clients, horizon, secondsEach, measured: `${path.steps} steps on this machine; bytes from the plan`, arms },
    links,
  )
}

/** Of one update, and at most of the start of a later round. */
function bytesOf({ layers, train: { trainable } }: Plan, clients: number): { update: number; start: number } {
  const sum = (numbers: readonly number[]) => 4 * numbers.reduce((total, each) => total + each, 0)
  const factors = (ranks: number) =>
    sum(layers.map((layer) => Math.min(ranks * layer.rank, layer.in, layer.out) * (layer.in + layer.out)))
  switch (trainable.kind) {
    case 'full': {
      const update = sum(trainable.tensors.map(({ shape }) => shape.reduce((count, extent) => count * extent, 1)))
      return { update, start: update }
    }
    case 'ffa':
      return { update: sum(layers.map(({ rank, out }) => rank * out)), start: factors(1) }
    case 'fed-sb':
      return { update: sum(layers.map(({ rank }) => rank * rank)), start: factors(1) }
    default:
      return { update: factors(1), start: factors(clients) }
  }
}
