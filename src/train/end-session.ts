/** Looking at a client's training examples where its training ended: what statistics are measured with. */
import type { Adapter } from '../adapter/adapter.js'
import { type Dataset, type Example, trainedTokens } from '../data/dataset.js'
import { OneroundError } from '../errors.js'
import type { Model } from '../model/open.js'
import type { NativeSession } from '../native/binding/session.js'
import type { Plan } from '../update/plan.js'
import type { Update } from '../update/update.js'
import { type PassShape, passShape } from './budget.js'
import { aborted, Clock, checkAborted, type JobOptions, threadsOf } from './job.js'
import { checkBase, sessionOptions } from './prepare.js'
import { openSession } from './session.js'
import { flatten, loraSlots } from './slots.js'
import { startOfRound } from './start.js'

export interface MeasureOptions extends JobOptions {
  /** the server's exact aggregate of the round before, none in round 1 */
  start?: Adapter | undefined
}

interface Looking {
  phase: string
  /** whether gradients are wanted */
  training: boolean
  /** examples in one pass, at most */
  atOnce: number
  see(session: NativeSession, examples: readonly Example[]): Promise<void>
}

/** Shows a session at the update's end every training example in turn, in f32 and without dropout. @returns how many */
export async function seeExamples(
  base: Model,
  data: Dataset,
  plan: Plan,
  update: Update,
  o: MeasureOptions,
  looking: Looking,
): Promise<number> {
  await checkBase(base, plan)
  const examples = data.heldOut(plan.data.heldOut).train.examples.filter((example) => trainedTokens(example) > 0)
  if (examples.length === 0)
    throw new OneroundError('ARGUMENT', 'There is no example to measure on.', {
      fix: 'Give the data it was trained on.',
    })
  const start = startOfRound(plan, update.info.round, o.start)
  const shape = passShape(examples, looking.atOnce)
  // What is frozen around the factors is theirs here: an update of any kind has both.
  const session = openSession(base, {
    ...sessionOptions(plan, start.frozen, shape, threadsOf(o)),
    slots: loraSlots(plan.layers, 0),
    training: looking.training,
    compute: 'f32',
    anchored: false,
  })
  const stop = () => session.abort()
  o.signal?.addEventListener('abort', stop)
  try {
    session.setParameters(flatten(update.adapter.layers))
    const clock = new Clock()
    const total = examples.length
    for (const { from, to } of passesOf(examples, looking.atOnce, shape)) {
      checkAborted(o.signal)
      o.onProgress?.({ phase: looking.phase, done: from, total, secondsLeft: clock.secondsLeft(from, total) })
      await looking.see(session, examples.slice(from, to))
    }
    return total
  } catch (error) {
    if (o.signal?.aborted) throw aborted(error)
    throw error
  } finally {
    o.signal?.removeEventListener('abort', stop)
    session.close()
  }
}

/** Runs of examples that fit in one pass. */
function* passesOf(examples: readonly Example[], atOnce: number, { rowsPerPass }: PassShape) {
  for (let from = 0, to = 0; from < examples.length; from = to) {
    let rows = 0
    while (to < examples.length && to - from < atOnce) {
      rows += examples[to]?.ids.length ?? 0
      if (to > from && rows > rowsPerPass) break
      to++
    }
    yield { from, to }
  }
}
