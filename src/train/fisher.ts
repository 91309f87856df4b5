/** How much a client's loss depends on each number that it trained: what the method `fisher` weighs by. */
import { toBatch } from '../data/batches.js'
import { type Dataset, trainedTokens } from '../data/dataset.js'
import type { Model } from '../model/open.js'
import { updateCount } from '../update/layers.js'
import type { Plan } from '../update/plan.js'
import type { Update } from '../update/update.js'
import { type MeasureOptions, seeExamples } from './end-session.js'
import { unflatten } from './slots.js'
import { checkMeasurable } from './statistic.js'

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
  o: MeasureOptions = {},
): Promise<FisherStatistic> {
  checkMeasurable('fisher', plan)
  const sums = new Float64Array(updateCount(plan))
  const count = await seeExamples(base, data, plan, update, o, {
    phase: 'fisher',
    training: true,
    atOnce: 1,
    async see(session, examples) {
      const { gradient } = await session.gradient(toBatch(examples), 0)
      const tokens = examples.reduce((sum, example) => sum + trainedTokens(example), 0)
      for (let i = 0; i < sums.length; i++) sums[i] = (sums[i] ?? 0) + (tokens * (gradient[i] ?? 0)) ** 2
    },
  })
  const means = unflatten(
    plan.layers,
    Float32Array.from(sums, (sum) => sum / count),
  )
  return Object.fromEntries(means.layers.map(({ name, a, b }) => [name, { fisherA: a, fisherB: b }]))
}
