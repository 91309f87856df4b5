// Windows of a token stream as batches. Positions restart at each window; a document's end is a token like any other.
import { permutation, philox } from '../../dist/data/random.js'

/** Streams of philox that are the base's own; see STREAM in src/data/random.ts for the library's. */
const OFFSET_STREAM = 100
const ORDER_STREAM = 101

/**
 * @param {Int32Array} stream
 * @param {readonly number[]} starts   of windows
 * @param {number} window              tokens of each, cut at the stream's end
 */
export function windowBatch(stream, starts, window) {
  const lengths = Int32Array.from(starts, (start) => Math.min(window, stream.length - 1 - start))
  const rows = lengths.reduce((sum, length) => sum + length, 0)
  const ids = new Int32Array(rows)
  const labels = new Int32Array(rows)
  let at = 0
  starts.forEach((start, i) => {
    const length = /** @type {number} */ (lengths[i])
    ids.set(stream.subarray(start, start + length), at)
    labels.set(stream.subarray(start + 1, start + length + 1), at)
    at += length
  })
  return { ids, labels, lengths, dropoutCounters: new Uint32Array(starts.length) }
}

/** Whole windows in one epoch, whatever its offset. */
export function windowsPerEpoch(/** @type {number} */ tokens, /** @type {number} */ window) {
  return Math.floor((tokens - 1 - window) / window)
}

/**
 * The starts of step `step`'s windows. Each epoch cuts the stream at an offset of its own and shuffles the windows.
 * @param {{ tokens: number, window: number, batch: number, seed: number }} o
 */
export function startsOfStep({ tokens, window, batch, seed }, /** @type {number} */ step) {
  const count = windowsPerEpoch(tokens, window)
  const stepsPerEpoch = Math.floor(count / batch)
  const epoch = Math.floor(step / stepsPerEpoch)
  const offset = philox([epoch, 0, OFFSET_STREAM, 0], [seed, 0])[0] % window
  const order = permutation(count, seed, ORDER_STREAM, epoch)
  const first = (step % stepsPerEpoch) * batch
  return Array.from(order.subarray(first, first + batch), (w) => offset + w * window)
}

/** Every token of the stream but the first, each predicted once. */
export function judgingStarts(/** @type {number} */ tokens, /** @type {number} */ window) {
  const starts = []
  for (let start = 0; start < tokens - 1; start += window) starts.push(start)
  return starts
}
