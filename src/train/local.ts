import type { Batch } from '../native/binding/batch.js'
import type { StepOptions } from '../native/binding/step.js'
import { aborted, checkAborted } from './job.js'
import { learningRateAt, type Schedule } from './schedule.js'
import { dropoutSeed } from './seeds.js'
import type { TrainingSession } from './session.js'

/** One optimizer step, as it is reported. */
export interface StepRecord {
  /** optimizer steps done in this round, from 1 */
  step: number
  /** optimizer steps of this round, and of those before it */
  steps: number
  stepsBefore: number
  /** mean over the step's trained tokens, nats */
  loss: number
  tokens: number
  gradientNorm: number
  learningRate: number
  /** rows (tokens read) of this step, for estimates of time */
  rows: number
}

interface LocalJob {
  session: TrainingSession
  /** the batch of a step, from 0 in this round, the same whenever it is asked; undefined: nothing to learn from */
  batchOf(step: number): Batch | undefined | Promise<Batch | undefined>
  /** of this round, and those that a checkpoint already holds */
  steps: number
  stepsDone: number
  /** steps of the rounds before: schedule and dropout count over the whole horizon */
  stepsBefore: number
  schedule: Schedule
  optimizer: Omit<StepOptions, 'learningRate' | 'seed'>
  seed: number
  signal?: AbortSignal | undefined
  onStep?: ((record: StepRecord) => void | Promise<void>) | undefined
  /** before the first step and after each: true ends the training there */
  endsAfter?: ((stepsDone: number) => Promise<boolean>) | undefined
}

/**
 * The one step loop, for factors and for whole tensors. The session comes with its parameters and optimizer state set;
 * the loop only steps it. Ends with ABORTED (parameters are those of the last whole step) or NUMERIC.
 */
export async function runSteps(job: LocalJob): Promise<void> {
  const { session, steps } = job
  const stop = () => session.abort()
  job.signal?.addEventListener('abort', stop)
  try {
    for (let done = job.stepsDone; ; done++) {
      if ((await job.endsAfter?.(done)) === true || done >= steps) return
      checkAborted(job.signal)
      const batch = await job.batchOf(done)
      if (batch === undefined) continue
      const overall = job.stepsBefore + done
      const learningRate = learningRateAt(job.schedule, overall)
      const options = { ...job.optimizer, learningRate, seed: dropoutSeed(job.seed, overall) }
      const { loss, tokens, gradientNorm } = await stepOnce(session, batch, options, job.signal)
      await job.onStep?.({
        step: done + 1,
        steps,
        stepsBefore: job.stepsBefore,
        loss,
        tokens,
        gradientNorm,
        learningRate,
        rows: batch.ids.length,
      })
    }
  } finally {
    job.signal?.removeEventListener('abort', stop)
  }
}

async function stepOnce(session: TrainingSession, batch: Batch, options: StepOptions, signal?: AbortSignal) {
  try {
    return await session.step(batch, options)
  } catch (error) {
    if (signal?.aborted) throw aborted(error)
    throw error
  }
}
