import { toBatch } from '../data/batches.js'
import type { Example } from '../data/dataset.js'
import type { Batch } from '../native/binding/batch.js'

/** Optimizer steps in one epoch; the last may hold fewer examples. */
export function stepsPerEpoch(count: number, perStep: number): number {
  return Math.ceil(count / perStep)
}

/**
 * Each step takes the next `perStep` examples of its epoch's order: the batch of one optimizer step, whatever passes the
 * engine cuts it into.
 * @param stepsBefore steps of the rounds before; `orderOf` counts epochs over all rounds
 */
export function exampleBatches(
  examples: readonly Example[],
  perStep: number,
  stepsBefore: number,
  orderOf: (epoch: number) => Int32Array,
): (step: number) => Batch | undefined {
  const perEpoch = stepsPerEpoch(examples.length, perStep)
  let order: { epoch: number; places: Int32Array } | undefined
  return (step) => {
    const overall = stepsBefore + step
    const epoch = Math.floor(overall / perEpoch)
    if (order?.epoch !== epoch) order = { epoch, places: orderOf(epoch) }
    const first = (overall % perEpoch) * perStep
    const chosen: Example[] = []
    for (const place of order.places.subarray(first, first + perStep)) {
      const example = examples[place]
      if (example) chosen.push(example)
    }
    const batch = toBatch(chosen)
    // Prompts longer than the cutoff leave no trained token; a step of only such examples has no mean loss.
    return batch.labels.some((label) => label >= 0) ? batch : undefined
  }
}
