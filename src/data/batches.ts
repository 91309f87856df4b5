/** From examples to what a step reads: seeded order, packed rows. */
import type { Batch } from '../native/binding/batch.js'
import type { Example } from './dataset.js'
import { permutation, STREAM } from './random.js'

/**
 * The order of examples in one epoch: a permutation of 0..count-1 that depends on (count, seed, epoch) alone, so that every
 * arm of a comparison and a resumed run see the same examples in the same order.
 */
export function order(count: number, seed: number, epoch: number): Int32Array {
  return permutation(count, seed, STREAM.order, epoch)
}

/**
 * Examples laid one after another, without padding; positions restart at each, given by `lengths`.
 * @param dropoutCounters one a example; default: the examples' own ids
 */
export function toBatch(examples: readonly Example[], dropoutCounters?: Uint32Array): Batch {
  const rows = examples.reduce((sum, example) => sum + example.ids.length, 0)
  const batch: Batch = {
    ids: new Int32Array(rows),
    labels: new Int32Array(rows),
    lengths: Int32Array.from(examples, (example) => example.ids.length),
    dropoutCounters: dropoutCounters ?? Uint32Array.from(examples, (example) => example.id),
  }
  if (batch.dropoutCounters.length !== examples.length) {
    throw new RangeError(`${batch.dropoutCounters.length} dropout counters for ${examples.length} examples`)
  }
  let at = 0
  for (const { ids, labels } of examples) {
    batch.ids.set(ids, at)
    batch.labels.set(labels, at)
    at += ids.length
  }
  return batch
}
