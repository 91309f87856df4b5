/**
 * Which random number comes from where. All streams are counter-based or hashed, so that any client and any
 * step can be replayed alone, and none of them knows a client's name: two clients with the same examples make
 * the same update.
 *
 * | what                       | generator                                      | key                     |
 * |----------------------------|------------------------------------------------|-------------------------|
 * | A of layer i at round 1    | native random (Philox), stream i               | plan.train.seed         |
 * | order of examples, epoch e | data/batches `order`, e counted over all rounds | plan.train.seed         |
 * | dropout mask               | native Philox, counter = the example's id      | dropoutSeed(seed, step) |
 * | merge of clients (pooled)  | data/batches `order` of the pooled count       | mergeSeed(seed)         |
 */

/** 32-bit avalanche. Source: Bob Jenkins' and Chris Wellons' low-bias constants (nullprogram.com, 2018). */
function mix(value: number): number {
  let x = value >>> 0
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d)
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b)
  return (x ^ (x >>> 16)) >>> 0
}

/** Folds numbers below 2^53 into 32 bits; the order of the parts matters. */
function fold(...parts: number[]): number {
  let state = 0x9e3779b9
  for (const part of parts) {
    state = mix(state ^ (part >>> 0))
    state = mix(state ^ (Math.floor(part / 2 ** 32) >>> 0))
  }
  return state
}

/** Key of the dropout masks of one optimizer step; `step` counts from 0 over the whole horizon (all rounds). */
export function dropoutSeed(seed: number, step: number): number {
  return fold(seed, 1, step)
}

/** Key of the order in which the pooled arm takes turns between clients. */
export function mergeSeed(seed: number): number {
  return fold(seed, 2)
}
