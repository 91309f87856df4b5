import { describe, expect, it } from 'vitest'
import { trainNgram, trainUnigram } from '../../../scripts/base/ngram.mjs'
import { streamPerplexity } from '../../../scripts/base/perplexity.mjs'
import { permutation } from '../../../src/data/random.js'

const VOCABULARY = 12
const SEPARATOR = 0

/** Skewed ids with a separator now and then. */
function stream(length: number, seed: number): Int32Array {
  const draws = permutation(length, seed, 99)
  const ids = draws.map((draw, i) =>
    i % 37 === 0 ? SEPARATOR : 1 + (Math.floor((draw * draw) / length) % (VOCABULARY - 3)),
  )
  ids[0] = SEPARATOR
  return ids
}

describe.each(['interpolated', 'back-off'] as const)('%s', (kind) => {
  it.each([1, 2, 3, 4])('of order %i sums to one in seen and unseen contexts', (order) => {
    const model = trainNgram(stream(600, 1), { vocabulary: VOCABULARY, separator: SEPARATOR, order, kind })
    const contexts = [
      ...Array.from({ length: 60 }, (_, at) => stream(600, 1).slice(0, at + 1)),
      Int32Array.of(0, 11, 10),
      Int32Array.of(0, 3, 11),
    ]
    for (const context of contexts) {
      let sum = 0
      for (let word = 0; word < VOCABULARY; word++) {
        const p = model.probability(Int32Array.from([...context, word]), context.length)
        expect(p).toBeGreaterThan(0)
        sum += p
      }
      expect(sum).toBeCloseTo(1, 10)
    }
  })

  it('forgets what lies before a separator', () => {
    const model = trainNgram(stream(600, 1), { vocabulary: VOCABULARY, separator: SEPARATOR, order: 3, kind })
    const fourAfter = (...before: number[]) => model.probability(Int32Array.from([...before, 0, 4]), before.length + 1)
    expect(fourAfter(0, 5)).toBe(fourAfter(0, 7))
    expect(fourAfter()).toBe(fourAfter(0, 7))
  })

  it('learns a cycle that a unigram cannot', () => {
    const cycle = Int32Array.from({ length: 400 }, (_, i) => (i === 0 ? 0 : 1 + (i % 5)))
    const model = trainNgram(cycle, { vocabulary: VOCABULARY, separator: SEPARATOR, order: 3, kind })
    expect(streamPerplexity(model, cycle)).toBeLessThan(1.5)
    expect(streamPerplexity(trainUnigram(cycle, VOCABULARY), cycle)).toBeGreaterThan(4.5)
  })
})

describe('interpolated Kneser-Ney', () => {
  it('gives the value worked out by hand', () => {
    // Stream 0 1 2 1 2 3, order 2; too small for the estimates, so every discount is 1/2.
    // Distinct bigrams 01 12 21 23: the words 1, 2, 3 were seen after 2, 1, 1 distinct words, four in all.
    // P1(2) = (1 - 1/2)/4 + (3/2)/4 * 1/12;  P(2|1) = (2 - 1/2)/2 + (1/2)/2 * P1(2)
    const ids = Int32Array.of(0, 1, 2, 1, 2, 3)
    const model = trainNgram(ids, { vocabulary: VOCABULARY, separator: SEPARATOR, order: 2, kind: 'interpolated' })
    const unigram = 0.125 + 0.375 / 12
    expect(model.probability(Int32Array.of(0, 1, 2), 2)).toBeCloseTo(0.75 + 0.25 * unigram, 12)
    // never seen after 1
    expect(model.probability(Int32Array.of(0, 1, 3), 2)).toBeCloseTo(0.25 * unigram, 12)
  })
})

describe('unigram', () => {
  it('is add-one and sums to one', () => {
    const model = trainUnigram(Int32Array.of(0, 1, 1, 2), VOCABULARY)
    expect(model.probability(Int32Array.of(1), 0)).toBe(3 / 15)
    let sum = 0
    for (let word = 0; word < VOCABULARY; word++) sum += model.probability(Int32Array.of(word), 0)
    expect(sum).toBeCloseTo(1, 12)
  })

  it('of a uniform model the perplexity is the vocabulary', () => {
    expect(streamPerplexity({ probability: () => 1 / VOCABULARY }, stream(50, 2))).toBeCloseTo(VOCABULARY, 10)
  })
})

it('an order whose keys would not be exact is refused', () => {
  expect(() => trainNgram(stream(9, 1), { vocabulary: 4096, separator: 0, order: 5, kind: 'back-off' })).toThrow(
    RangeError,
  )
})
