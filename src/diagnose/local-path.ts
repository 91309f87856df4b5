/** A short run of one client's own training, with the points it passes: what can be known before training. */
import type { Adapter } from '../adapter/adapter.js'
import { order, toBatch } from '../data/batches.js'
import type { Dataset, Example } from '../data/dataset.js'
import { OneroundError } from '../errors.js'
import { horizonOf, planOfArm } from '../federation/arms.js'
import type { Model } from '../model/open.js'
import { aborted, checkAborted, type JobOptions, threadsOf } from '../train/job.js'
import { adamw } from '../train/local.js'
import { type Prepared, prepare } from '../train/prepare.js'
import { learningRateAt } from '../train/schedule.js'
import { dropoutSeed } from '../train/seeds.js'
import { openSession } from '../train/session.js'
import { flatten, unflatten } from '../train/slots.js'
import { initialStart } from '../train/start.js'
import type { Plan } from '../update/plan.js'

export interface LocalPath {
  /** the start first; what each adds to the base */
  points: { step: number; adapter: Adapter }[]
  /** optimizer steps taken, of the horizon's */
  steps: number
  ofSteps: number
  /** tokens read forward and back */
  rows: number
  /** the whole horizon's */
  trainingRows: number
  seconds: number
  losses: number[]
  /** a step's loss or gradient was not finite: the points end before it */
  diverged: boolean
}

/** Points kept on the way, the start among them. */
const MOST_POINTS = 9

/** The client's training over the whole horizon, as one round, prepared but not begun. */
export function prepareLocal(data: Dataset, plan: Plan, o: JobOptions): Prepared & { plan: Plan } {
  if (plan.train.trainable.kind !== 'lora') {
    throw new OneroundError('UNSUPPORTED', 'A diagnosis before training follows LoRA training only.', {
      found: plan.train.trainable.kind,
      expected: 'lora',
      fix: 'Diagnose a run folder, or the update files.',
    })
  }
  const whole = planOfArm(plan, { rounds: 1, epochs: horizonOf(plan) })
  return { ...prepare(data, whole, initialStart(whole), threadsOf(o), o.recompute ?? false), plan: whole }
}

/** The first `steps` optimizer steps of a client's training; the plan's schedule, order and dropout. */
export async function followLocally(
  base: Model,
  data: Dataset,
  plan: Plan,
  steps: number,
  o: JobOptions = {},
): Promise<LocalPath> {
  const {
    training,
    session: options,
    perStep,
    stepsPerEpoch,
    steps: ofSteps,
    schedule,
    plan: whole,
  } = prepareLocal(data, plan, o)
  const { train } = whole
  const start = initialStart(whole)
  const session = openSession(base, options)
  const stop = () => session.abort()
  o.signal?.addEventListener('abort', stop)
  const count = Math.min(steps, ofSteps)
  const path: LocalPath = {
    points: [{ step: 0, adapter: start.trained }],
    steps: 0,
    ofSteps,
    rows: 0,
    trainingRows: rowsOf(training.examples) * train.epochs,
    seconds: 0,
    losses: [],
    diverged: false,
  }
  const keepAt = new Set(
    Array.from({ length: MOST_POINTS - 1 }, (_, i) => Math.max(1, Math.round((count * (i + 1)) / (MOST_POINTS - 1)))),
  )
  const began = performance.now()
  try {
    session.setParameters(flatten(start.trained.layers))
    for (let done = 0; done < count; done++) {
      checkAborted(o.signal)
      const places = order(training.count, train.seed, Math.floor(done / stepsPerEpoch))
      const first = (done % stepsPerEpoch) * perStep
      const chosen = [...places.subarray(first, first + perStep)].flatMap((place) => training.examples[place] ?? [])
      const batch = toBatch(chosen)
      if (batch.labels.some((label) => label >= 0)) {
        const result = await session.step(batch, {
          ...adamw,
          optimizer: train.optimizer,
          momentum: train.momentum ?? 0,
          nesterov: train.nesterov ?? false,
          learningRate: learningRateAt(schedule, done),
          weightDecay: train.weightDecay,
          clipNorm: train.clipNorm,
          seed: dropoutSeed(train.seed, done),
        })
        path.losses.push(result.loss)
        path.rows += rowsOf(chosen)
      }
      path.steps = done + 1
      if (keepAt.has(path.steps))
        path.points.push({ step: path.steps, adapter: unflatten(whole.layers, session.parameters()) })
      o.onProgress?.({ phase: 'short run', done: path.steps, total: count, secondsLeft: Number.NaN })
    }
  } catch (error) {
    if (o.signal?.aborted) throw aborted(error)
    if (!(error instanceof OneroundError) || error.code !== 'NUMERIC') throw error
    path.diverged = true
  } finally {
    o.signal?.removeEventListener('abort', stop)
    session.close()
  }
  path.seconds = (performance.now() - began) / 1000
  return path
}

export function rowsOf(examples: readonly Example[]): number {
  return examples.reduce((sum, example) => sum + example.ids.length, 0)
}
