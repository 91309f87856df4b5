/** Logits of base + adapter from the engine, for comparisons between forms of one model. */
import type { Adapter } from '../../src/adapter/adapter.js'
import { type Model, openModel } from '../../src/model/open.js'
import { native } from '../../src/native/load.js'
import { overlayOf } from '../../src/train/slots.js'

/** @returns [rows, vocabulary] of one text */
export async function engineLogits(source: string | Model, adapter: Adapter | undefined, ids: readonly number[]) {
  const base = typeof source === 'string' ? await openModel(source) : source
  const overlay = adapter === undefined ? [] : overlayOf(adapter)
  const session = new (native().Session)(base.weights, {
    slots: [],
    overlay,
    threads: 2,
    rowsPerPass: 64,
    longestExample: 64,
    training: false,
  })
  try {
    return await session.logits({
      ids: Int32Array.from(ids),
      labels: new Int32Array(ids.length).fill(-100),
      lengths: Int32Array.of(ids.length),
      dropoutCounters: Uint32Array.of(0),
    })
  } finally {
    session.close()
    if (typeof source === 'string') await base.close()
  }
}

/** The last row of logits as natural logarithms of probabilities. */
export function lastLogProbabilities(logits: Float32Array, vocabulary: number): Float64Array {
  const row = Float64Array.from(logits.subarray(logits.length - vocabulary))
  const most = row.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY)
  const sum = row.reduce((total, value) => total + Math.exp(value - most), 0)
  return row.map((value) => value - most - Math.log(sum))
}
