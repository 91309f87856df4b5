/** A short run of one client's own training, with the points it passes: what can be known before training. */
import type { Adapter } from '../adapter/adapter.js'
import { order } from '../data/batches.js'
import type { Dataset, Example } from '../data/dataset.js'
import { OneroundError } from '../errors.js'
import { horizonOf, planOfArm } from '../federation/arms.js'
import type { Model } from '../model/open.js'
import { exampleBatches } from '../train/example-batches.js'
import { aborted, type JobOptions, threadsOf } from '../train/job.js'
import { runSteps } from '../train/local.js'
import { optimizerOf } from '../train/optimizer.js'
import { type Prepared, prepare } from '../train/prepare.js'
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
  return { ...prepare(data, whole, initialStart(whole), threadsOf(o), o.recompute), plan: whole }
}

/** The first `steps` optimizer steps of a client's training; the plan's schedule, order and dropout. */
export async function followLocally(
  base: Model,
  data: Dataset,
  plan: Plan,
  steps: number,
  o: JobOptions = {},
): Promise<LocalPath> {
  const { training, session: options, perStep, steps: ofSteps, schedule, plan: whole } = prepareLocal(data, plan, o)
  const { train } = whole
  const start = initialStart(whole)
  const session = openSession(base, options)
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
    await runSteps({
      session,
      batchOf: exampleBatches(training.examples, perStep, 0, (epoch) => order(training.count, train.seed, epoch)),
      steps: ofSteps,
      stepsDone: 0,
      stepsBefore: 0,
      schedule,
      optimizer: optimizerOf(train),
      seed: train.seed,
      signal: o.signal,
      onStep({ step, loss, rows }) {
        path.steps = step
        path.losses.push(loss)
        path.rows += rows
        if (keepAt.has(step)) path.points.push({ step, adapter: unflatten(whole.layers, session.parameters()) })
        o.onProgress?.({ phase: 'short run', done: step, total: count, secondsLeft: Number.NaN })
      },
      endsAfter: async (done) => done >= count,
    })
  } catch (error) {
    if (o.signal?.aborted) throw aborted(error)
    if (!(error instanceof OneroundError) || error.code !== 'NUMERIC') throw error
    path.diverged = true
  } finally {
    session.close()
  }
  path.seconds = (performance.now() - began) / 1000
  return path
}

export function rowsOf(examples: readonly Example[]): number {
  return examples.reduce((sum, example) => sum + example.ids.length, 0)
}
