/** How much a client's loss depends on each number that it trained: what the method `fisher` weighs by. */
import type { Adapter } from '../adapter/adapter.js'
import { toBatch } from '../data/batches.js'
import { type Dataset, trainedTokens } from '../data/dataset.js'
import { OneroundError } from '../errors.js'
import type { Model } from '../model/open.js'
import type { Plan } from '../update/plan.js'
import type { Update } from '../update/update.js'
import { passShape } from './budget.js'
import { aborted, Clock, checkAborted, type JobOptions, threadsOf } from './job.js'
import { checkBase, sessionOptions } from './prepare.js'
import { openSession } from './session.js'
import { flatten, loraSlots, unflatten } from './slots.js'
import { startOfRound } from './start.js'

/** By layer: [rank, in] and [out, rank], not negative; as the aggregate's option `statistics` has them of a client. */
export type FisherStatistic = Record<string, { fisherA: Float32Array; fisherB: Float32Array }>

/**
 * The diagonal of the empirical Fisher information where training ended (Matena and Raffel, arXiv 2111.09832): the mean
 * over the client's training examples of the squared gradient of an example's summed loss, number by number. One pass
 * forward and back an example. It says more about the client's data than the update alone, and is as large.
 * @param update the client's own, of factors that both trained (LoRA)
 * @param o.start the server's exact aggregate of the round before, none in round 1
 * @throws OneroundError UNSUPPORTED (another trainable), ARGUMENT (nothing to train on), MISMATCH, MEMORY, ABORTED
 */
export async function measureFisher(
  base: Model,
  data: Dataset,
  plan: Plan,
  update: Update,
  o: JobOptions & { start?: Adapter } = {},
): Promise<FisherStatistic> {
  if (plan.train.trainable.kind !== 'lora') {
    throw new OneroundError('UNSUPPORTED', 'fisher weighs factors that are both trained.', {
      found: `trainable ${plan.train.trainable.kind}`,
      expected: 'trainable lora',
      fix: 'Choose another method, or train LoRA factors.',
    })
  }
  await checkBase(base, plan)
  const examples = data.heldOut(plan.data.heldOut).train.examples.filter((example) => trainedTokens(example) > 0)
  if (examples.length === 0)
    throw new OneroundError('ARGUMENT', 'There is no example to measure on.', {
      fix: 'Give the data it was trained on.',
    })
  const start = startOfRound(plan, update.info.round, o.start)
  const { layers } = update.adapter
  // Gradients of single examples are compared with nothing else, and a mean of squares forgives no rounding: f32.
  const options = {
    ...sessionOptions(plan, start.frozen, passShape(examples, 1), threadsOf(o)),
    slots: loraSlots(plan.layers, 0),
    compute: 'f32' as const,
  }
  const session = openSession(base, options)
  const stop = () => session.abort()
  o.signal?.addEventListener('abort', stop)
  try {
    session.setParameters(flatten(layers))
    const sums = new Float64Array(session.parameterCount)
    const clock = new Clock()
    for (const [done, example] of examples.entries()) {
      checkAborted(o.signal)
      const total = examples.length
      o.onProgress?.({ phase: 'fisher', done, total, secondsLeft: clock.secondsLeft(done, total) })
      const { gradient } = await session.gradient(toBatch([example]), 0)
      const tokens = trainedTokens(example)
      for (let i = 0; i < sums.length; i++) sums[i] = (sums[i] ?? 0) + (tokens * (gradient[i] ?? 0)) ** 2
    }
    const means = unflatten(
      plan.layers,
      Float32Array.from(sums, (sum) => sum / examples.length),
    )
    return Object.fromEntries(means.layers.map(({ name, a, b }) => [name, { fisherA: a, fisherB: b }]))
  } catch (error) {
    if (o.signal?.aborted) throw aborted(error)
    throw error
  } finally {
    o.signal?.removeEventListener('abort', stop)
    session.close()
  }
}
