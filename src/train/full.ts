import { OneroundError } from '../errors.js'
import type { Model } from '../model/open.js'
import type { Batch } from '../native/binding/batch.js'
import type { NativeSession } from '../native/binding/session.js'
import { captureState, readCheckpoint, restoreState } from './checkpoint.js'
import { Clock, type JobOptions, threadsOf } from './job.js'
import { Keeper } from './keeper.js'
import { runSteps, type StepRecord } from './local.js'
import type { MemoryNotice } from './memory.js'
import { adamw, optimizerOf } from './optimizer.js'
import type { Schedule } from './schedule.js'
import { openSession } from './session.js'
import { denseSlots } from './slots.js'

/**
 * Full training outside of a federation, of a base itself: every tensor is a dense slot, and the caller says what a
 * step reads. Clients of a plan train by `train`, in the same loop.
 */
interface FullOptions extends JobOptions {
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
  onStep?: ((record: StepRecord) => void | Promise<void>) | undefined
  /** called with the session between steps, e.g. to judge held-out text by `sumLosses` */
  everySteps?: { steps: number; call(session: NativeSession, step: number): Promise<void> } | undefined
}

interface FullResult {
  /** the flat parameters: base.spec.tensors in their order, each row-major */
  parameters: Float32Array
  steps: number
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
  const { rowsPerPass, longestExample, schedule, weightDecay, clipNorm } = o
  const options = {
    slots: denseSlots(base.spec.tensors),
    overlay: [],
    threads: threadsOf(o),
    rowsPerPass,
    longestExample,
    training: true,
  }
  const session = openSession(base, options, { onMemory: o.onMemory })
  const identity = { ...o.identity, parameters: String(session.parameterCount), vocabulary: String(shape.vocabulary) }
  let done = 0
  const keeper = new Keeper(o.checkpoint, identity, o.checkpointSeconds ?? 300, () => captureState(session, done, {}))
  try {
    const saved = o.checkpoint ? await readCheckpoint(o.checkpoint, identity, session.parameterCount) : undefined
    if (saved) {
      restoreState(session, saved)
      done = saved.stepsDone
    } else session.loadBase()
    const total = schedule.totalSteps
    const clock = new Clock(done)
    await keeper.guard(() =>
      runSteps({
        session,
        batchOf: o.batch,
        steps: total,
        stepsDone: done,
        stepsBefore: 0,
        schedule,
        optimizer: { ...optimizerOf({ optimizer: 'adamw', weightDecay, clipNorm }), beta2: o.beta2 ?? adamw.beta2 },
        seed: o.seed,
        signal: o.signal,
        async onStep(record) {
          done = record.step
          await o.onStep?.(record)
          const secondsLeft = clock.secondsLeft(done, total)
          o.onProgress?.({ phase: 'train', done, total, secondsLeft, loss: record.loss })
          if (o.everySteps && done % o.everySteps.steps === 0) await o.everySteps.call(session, done)
          if (done === total) await keeper.keep()
          else await keeper.keepIfDue()
        },
      }),
    )
    return { parameters: session.parameters(), steps: done }
  } finally {
    session.close()
  }
}
