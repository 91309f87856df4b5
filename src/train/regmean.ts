/** What a client's layers see of its data: what the method `regmean` weighs by. */
import { toBatch } from '../data/batches.js'
import type { Dataset } from '../data/dataset.js'
import type { Model } from '../model/open.js'
import type { Plan } from '../update/plan.js'
import type { Update } from '../update/update.js'
import { type MeasureOptions, seeExamples } from './end-session.js'
import { checkMeasurable } from './statistic.js'

/** By layer: X'X, [in, in], symmetric; as the aggregate's option `statistics` has them of a client. */
export type RegMeanStatistic = Record<string, { inputs: Float32Array }>

/** Examples of one pass; their rows are at most 512. */
const AT_ONCE = 64

/**
 * The Gram matrix of each layer's inputs where training ended (RegMean, arXiv 2212.09849): X'X over the rows, one a
 * token, prompts too, of all training examples. One pass forward. It has in x in numbers a layer (SmolLM2-135M, all
 * linear: 0.5 GiB) and says more about the client's data than the update alone: the directions that its texts take.
 * @param update the client's own; any factors
 * @param o.start the server's exact aggregate of the round before, none in round 1
 * @throws OneroundError UNSUPPORTED (whole tensors), ARGUMENT (nothing to measure on), MISMATCH, MEMORY, ABORTED
 */
export async function measureRegMean(
  base: Model,
  data: Dataset,
  plan: Plan,
  update: Update,
  o: MeasureOptions = {},
): Promise<RegMeanStatistic> {
  checkMeasurable('regmean', plan)
  const sums = plan.layers.map((layer) => new Float32Array(layer.in ** 2))
  await seeExamples(base, data, plan, update, o, {
    phase: 'regmean',
    training: false,
    atOnce: AT_ONCE,
    see: (session, examples) => session.addInputs(toBatch(examples), sums),
  })
  return Object.fromEntries(plan.layers.map(({ name }, i) => [name, { inputs: sums[i] as Float32Array }]))
}
