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
import { openSession, type TrainingSession } from '../train/session.js'
import { initialStart } from '../train/start.js'
import { loadStart, trainedOf } from '../train/training.js'
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

/** Points kept on the way, the start among them; whole tensors are kept whole. */
const MOST_POINTS = { factors: 9, tensors: 3 }

/** The client's training over the whole horizon, as one round, prepared but not begun. */
export function prepareLocal(data: Dataset, plan: Plan, o: JobOptions): Prepared & { plan: Plan } {
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
  const prepared = prepareLocal(data, plan, o)
  const start = initialStart(prepared.plan)
  const session = openSession(base, prepared.session)
  try {
    loadStart(session, base, prepared.plan, start)
    const { kept, ...walked } = await walk(session, prepared, Math.min(steps, prepared.steps), o)
    loadStart(session, base, prepared.plan, start)
    const passed = kept.map(({ step, parameters }) => ({
      step,
      adapter: trainedOf(session, base, prepared.plan, parameters).adapter,
    }))
    return { ...walked, points: [{ step: 0, adapter: start.trained }, ...passed] }
  } finally {
    session.close()
  }
}

/** Trains `count` steps; where a loss or gradient is not finite, it ends there. */
async function walk(
  session: TrainingSession,
  { training, perStep, steps: ofSteps, schedule, plan: { train } }: Prepared & { plan: Plan },
  count: number,
  o: JobOptions,
): Promise<Omit<LocalPath, 'points'> & { kept: { step: number; parameters: Float32Array }[] }> {
  const parts = (train.trainable.kind === 'full' ? MOST_POINTS.tensors : MOST_POINTS.factors) - 1
  const keepAt = new Set(Array.from({ length: parts }, (_, i) => Math.max(1, Math.round((count * (i + 1)) / parts))))
  const kept: { step: number; parameters: Float32Array }[] = []
  const trainingRows = rowsOf(training.examples) * train.epochs
  const path = { steps: 0, ofSteps, rows: 0, trainingRows, losses: [] as number[], diverged: false }
  const began = performance.now()
  try {
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
        if (keepAt.has(step)) kept.push({ step, parameters: session.parameters() })
        o.onProgress?.({ phase: 'short run', done: step, total: count, secondsLeft: Number.NaN })
      },
      endsAfter: async (done) => done >= count,
    })
  } catch (error) {
    if (o.signal?.aborted) throw aborted(error)
    if (!(error instanceof OneroundError) || error.code !== 'NUMERIC') throw error
    path.diverged = true
  }
  return { ...path, kept, seconds: (performance.now() - began) / 1000 }
}

export function rowsOf(examples: readonly Example[]): number {
  return examples.reduce((sum, example) => sum + example.ids.length, 0)
}
