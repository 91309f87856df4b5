import { OneroundError } from '../errors.js'
import type { Model } from '../model/open.js'
import type { Batch, NativeSession, Slot } from '../native/binding.js'
import { captureState, readCheckpoint, restoreState, saveCheckpoint } from './checkpoint.js'
import { aborted, Clock, checkAborted, isAborted, type JobOptions, threadsOf } from './job.js'
import { adamw } from './local.js'
import type { MemoryNotice } from './memory.js'
import { learningRateAt, type Schedule } from './schedule.js'
import { dropoutSeed } from './seeds.js'
import { openSession } from './session.js'

/** Full training: every tensor of the base is a dense slot. The caller says what a step reads. */
export interface FullOptions extends JobOptions {
  /** the batch of the step, from 0; must give the same batch for the same step whenever it is asked */
  batch(step: number): Batch | Promise<Batch>
  schedule: Schedule
  weightDecay: number
  /** 0: no clipping */
  clipNorm: number
  seed: number
  /** AdamW's second decay; default 0.999 */
  beta2?: number | undefined
  rowsPerPass: number
  longestExample: number
  /** file; without it nothing is kept */
  checkpoint?: string | undefined
  /** default 300 */
  checkpointSeconds?: number | undefined
  /** says what must be equal to go on from a checkpoint, e.g. a digest of corpus and settings */
  identity: Record<string, string>
  onMemory?: ((notice: MemoryNotice) => void) | undefined
  onStep?: ((record: FullStep) => void | Promise<void>) | undefined
  /** called with the session between steps, e.g. to judge held-out text by `sumLosses` */
  everySteps?: { steps: number; call(session: NativeSession, step: number): Promise<void> } | undefined
}

export interface FullStep {
  /** from 1 */
  step: number
  loss: number
  tokens: number
  gradientNorm: number
  learningRate: number
}

export interface FullResult {
  /** the flat parameters: base.spec.tensors in their order, each row-major */
  parameters: Float32Array
  steps: number
}

/** One dense slot for each tensor of the base, in the base's order. */
export function denseSlots(base: Model): Slot[] {
  return base.spec.tensors.map((tensor) => ({ kind: 'dense', tensor: tensor.name }))
}

/**
 * Trains every tensor of a base, from its own values, over `schedule.totalSteps` steps. Goes on from the checkpoint
 * where there is one, bit-equal with a run that never stopped; the checkpoint of the end stays, so that a finished run
 * gives its result again at once.
 */
export async function trainFull(base: Model, o: FullOptions): Promise<FullResult> {
  const { shape } = base.spec
  if (o.longestExample > base.spec.maxPositions) {
    throw new OneroundError('ARGUMENT', 'The longest example is longer than the base can read.', {
      found: `${o.longestExample} tokens`,
      expected: `at most ${base.spec.maxPositions}`,
      fix: 'Cut the examples.',
    })
  }
  const { rowsPerPass, longestExample } = o
  const options = {
    slots: denseSlots(base),
    overlay: [],
    threads: threadsOf(o),
    rowsPerPass,
    longestExample,
    training: true,
  }
  const session = openSession(base, options, { onMemory: o.onMemory })
  const stop = () => session.abort()
  o.signal?.addEventListener('abort', stop)
  const identity = { ...o.identity, parameters: String(session.parameterCount), vocabulary: String(shape.vocabulary) }
  let done = 0
  const keep = async () => {
    if (o.checkpoint) await saveCheckpoint(o.checkpoint, identity, captureState(session, done, {}))
  }
  try {
    const saved = o.checkpoint ? await readCheckpoint(o.checkpoint, identity, session.parameterCount) : undefined
    if (saved) {
      restoreState(session, saved)
      done = saved.stepsDone
    } else session.loadBase()
    const total = o.schedule.totalSteps
    const clock = new Clock(done)
    let lastKept = performance.now()
    while (done < total) {
      checkAborted(o.signal)
      const learningRate = learningRateAt(o.schedule, done)
      const result = await session.step(await o.batch(done), {
        ...adamw,
        beta2: o.beta2 ?? adamw.beta2,
        learningRate,
        weightDecay: o.weightDecay,
        clipNorm: o.clipNorm,
        seed: dropoutSeed(o.seed, done),
      })
      done++
      await o.onStep?.({ step: done, ...result, learningRate })
      o.onProgress?.({ phase: 'train', done, total, secondsLeft: clock.secondsLeft(done, total), loss: result.loss })
      if (o.everySteps && done % o.everySteps.steps === 0) await o.everySteps.call(session, done)
      if (performance.now() - lastKept >= (o.checkpointSeconds ?? 300) * 1000 || done === total) {
        await keep()
        lastKept = performance.now()
      }
    }
    return { parameters: session.parameters(), steps: done }
  } catch (error) {
    if (isAborted(error)) {
      await keep()
      throw error instanceof OneroundError ? error : aborted(error)
    }
    throw error
  } finally {
    o.signal?.removeEventListener('abort', stop)
    session.close()
  }
}
