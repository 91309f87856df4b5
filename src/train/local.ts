import { toBatch } from '../data/batches.js'
import type { Example } from '../data/dataset.js'
import type { NativeSession, StepOptions } from '../native/binding.js'
import type { TrainOptions } from '../update/plan.js'
import { aborted, checkAborted } from './job.js'
import type { Schedule } from './schedule.js'
import { learningRateAt } from './schedule.js'
import { dropoutSeed } from './seeds.js'

/** AdamW's constants, as in PyTorch's defaults; the plan fixes the rest. Source: Loshchilov and Hutter, arXiv 1711.05101. */
export const adamw = {
  optimizer: 'adamw',
  momentum: 0,
  nesterov: false,
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
} as const

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

export interface LocalJob {
  session: NativeSession
  examples: readonly Example[]
  /** the order of the examples in the epoch that counts from 0 over all rounds */
  orderOf(epoch: number): Int32Array
  /** optimizer steps of this round, and how many came before it in the horizon */
  steps: number
  stepsBefore: number
  /** examples per optimizer step (batch x accumulate) */
  perStep: number
  schedule: Schedule
  optimizer: Pick<TrainOptions, 'optimizer' | 'momentum' | 'nesterov' | 'weightDecay' | 'clipNorm' | 'seed'>
  /** mu of FedProx; the session's anchor is the round's start. Default 0 */
  proximal?: number | undefined
  /** steps of this round that a checkpoint already holds */
  stepsDone: number
  signal?: AbortSignal | undefined
  onStep?: ((record: StepRecord) => void | Promise<void>) | undefined
}

/** Optimizer steps in one epoch; the last may hold fewer examples. */
export function stepsPerEpoch(count: number, perStep: number): number {
  return Math.ceil(count / perStep)
}

/**
 * The step loop. The session comes with its parameters and optimizer state set; the loop only steps it. Each step
 * takes the next `perStep` examples of the epoch's order: the batch of one optimizer step, whatever passes the
 * engine cuts it into. Ends with ABORTED (parameters are those of the last whole step) or NUMERIC.
 */
export async function runSteps(job: LocalJob): Promise<void> {
  const { session, examples, perStep, schedule, steps } = job
  const perEpoch = stepsPerEpoch(examples.length, perStep)
  const stop = () => session.abort()
  job.signal?.addEventListener('abort', stop)
  try {
    let order: { epoch: number; places: Int32Array } | undefined
    for (let done = job.stepsDone; done < steps; done++) {
      checkAborted(job.signal)
      const overall = job.stepsBefore + done
      const epoch = Math.floor(overall / perEpoch)
      if (order?.epoch !== epoch) order = { epoch, places: job.orderOf(epoch) }
      const first = (overall % perEpoch) * perStep
      const chosen: Example[] = []
      for (const place of order.places.subarray(first, first + perStep)) {
        const example = examples[place]
        if (example) chosen.push(example)
      }
      const batch = toBatch(chosen)
      // Prompts longer than the cutoff leave no trained token; a step of only such examples has no mean loss.
      if (!batch.labels.some((label) => label >= 0)) continue
      const options: StepOptions = {
        ...adamw,
        optimizer: job.optimizer.optimizer,
        momentum: job.optimizer.momentum ?? 0,
        nesterov: job.optimizer.nesterov ?? false,
        learningRate: learningRateAt(schedule, overall),
        weightDecay: job.optimizer.weightDecay,
        clipNorm: job.optimizer.clipNorm,
        ...(job.proximal ? { proximal: job.proximal } : {}),
        seed: dropoutSeed(job.optimizer.seed, overall),
      }
      const result = await stepOnce(session, batch, options, job.signal)
      await job.onStep?.({
        step: done + 1,
        steps,
        stepsBefore: job.stepsBefore,
        loss: result.loss,
        tokens: result.tokens,
        gradientNorm: result.gradientNorm,
        learningRate: options.learningRate,
        rows: batch.ids.length,
      })
    }
  } finally {
    job.signal?.removeEventListener('abort', stop)
  }
}

async function stepOnce(
  session: NativeSession,
  batch: ReturnType<typeof toBatch>,
  options: StepOptions,
  signal?: AbortSignal,
) {
  try {
    return await session.step(batch, options)
  } catch (error) {
    if (signal?.aborted) throw aborted(error)
    throw error
  }
}
