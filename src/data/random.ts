/**
 * Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): a counter-based generator, so any
 * epoch or client can be replayed alone. Integer arithmetic only: the same on every machine.
 */
import { OneroundError } from '../errors.js'

/** Which question a stream answers; a number is never used twice, so two questions never share their randomness. */
export const STREAM = {
  order: 1,
  iid: 2,
  sample: 3,
  dirichlet: 4,
  dirichletOrder: 5,
  quantity: 6,
  generate: 7,
  participation: 8,
  clientSpeed: 9,
  /** this and the next plus 256 times the client's place */
  clientDropout: 10,
  visitDuration: 11,
  /** orders of clients; far from the others, which grow one by one */
  valuation: 64,
} as const

const WEYL = [0x9e3779b9, 0xbb67ae85] as const

/** [high, low] 32 bits of the 64-bit product of two unsigned 32-bit numbers */
function multiply(a: number, b: number): [number, number] {
  const aLow = a & 0xffff
  const aHigh = a >>> 16
  const bLow = b & 0xffff
  const bHigh = b >>> 16
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16)
  const middle2 = aLow * bHigh + (middle % 65536)
  const high = aHigh * bHigh + Math.floor(middle / 65536) + Math.floor(middle2 / 65536)
  return [high >>> 0, Math.imul(a, b) >>> 0]
}

/** One block of four unsigned 32-bit numbers. */
export function philox(
  counter: readonly [number, number, number, number],
  key: readonly [number, number],
): [number, number, number, number] {
  let [c0, c1, c2, c3] = counter
  let [k0, k1] = key
  for (let round = 0; round < 10; round++) {
    const [high0, low0] = multiply(0xd2511f53, c0)
    const [high1, low1] = multiply(0xcd9e8d57, c2)
    c0 = (high1 ^ c1 ^ k0) >>> 0
    c1 = low1
    c2 = (high0 ^ c3 ^ k1) >>> 0
    c3 = low0
    k0 = (k0 + WEYL[0]) >>> 0
    k1 = (k1 + WEYL[1]) >>> 0
  }
  return [c0, c1, c2, c3]
}

/** The numbers of one (seed, stream, index), one after another. */
export class Draws {
  readonly #key: readonly [number, number]
  readonly #stream: number
  readonly #index: number
  #block = 0
  #words: number[] = []

  /**
   * @param seed 0 to 2^53 - 1; the key
   * @param stream one of STREAM
   * @param index e.g. the epoch; 0 to 2^32 - 1
   */
  constructor(seed: number, stream: number, index: number) {
    checkInteger('seed', seed, Number.MAX_SAFE_INTEGER)
    checkInteger('epoch', index, 2 ** 32 - 1)
    this.#key = [seed >>> 0, Math.floor(seed / 2 ** 32)]
    this.#stream = stream
    this.#index = index
  }

  /** 0 to 2^32 - 1 */
  word(): number {
    if (this.#words.length === 0) this.#words = philox([this.#block++ >>> 0, this.#index, this.#stream, 0], this.#key)
    return this.#words.pop() as number
  }

  /** between 0 and 1, never either: 52 bits and a half */
  uniform(): number {
    const high = this.word() >>> 6
    const low = this.word() >>> 6
    return (high * 2 ** 26 + low + 0.5) / 2 ** 52
  }
}

/**
 * A permutation of 0..count-1 (Fisher-Yates from the end).
 * @param seed 0 to 2^53 - 1; the key
 * @param stream one of STREAM
 * @param index e.g. the epoch; 0 to 2^32 - 1
 */
export function permutation(count: number, seed: number, stream: number, index = 0): Int32Array {
  checkInteger('count', count, 2 ** 31 - 1)
  const draws = new Draws(seed, stream, index)
  const order = new Int32Array(count).map((_, i) => i)
  for (let i = count - 1; i > 0; i--) {
    // numbers past the last whole multiple of i + 1 would favour small results: drawn again
    const limit = 2 ** 32 - (2 ** 32 % (i + 1))
    let draw = draws.word()
    while (draw >= limit) draw = draws.word()
    const j = draw % (i + 1)
    const kept = order[i] as number
    order[i] = order[j] as number
    order[j] = kept
  }
  return order
}

function checkInteger(name: string, value: number, most: number): void {
  if (Number.isInteger(value) && value >= 0 && value <= most) return
  throw new OneroundError('ARGUMENT', `${name} must be a whole number.`, {
    found: String(value),
    expected: `0 to ${most}`,
    fix: `Give a ${name} in that range.`,
  })
}
