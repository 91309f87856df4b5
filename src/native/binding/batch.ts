/** Examples laid one after another, without padding. */
export interface Batch {
  ids: Int32Array
  /** the target at each row, already shifted: labels[t] is the token that follows ids[t], or -100 where no loss is taken */
  labels: Int32Array
  /** tokens of each example; they sum to ids.length; positions restart at each example */
  lengths: Int32Array
  /** one number an example, the counter of its dropout mask; the same example in the same step always gets the same mask */
  dropoutCounters: Uint32Array
  /**
   * evaluate() and logits() only: the example that each one goes on from, -1 for none. It then sees the rows of that one
   * and of all above it, and its positions go on from theirs, as if they were one text; the results have the same bits.
   * Parents come first, an example's descendants follow it at once, at most 16 stand above one, and all rows fit one pass.
   */
  parents?: Int32Array
}
