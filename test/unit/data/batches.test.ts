import { describe, expect, it } from 'vitest'
import { order, toBatch } from '../../../src/data/batches.js'
import { philox } from '../../../src/data/random.js'

describe('philox', () => {
  // known answers of the authors' Random123 distribution, file kat_vectors
  it.each([
    [
      [0, 0, 0, 0],
      [0, 0],
      [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
    ],
    [
      [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
      [0xffffffff, 0xffffffff],
      [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
    ],
    [
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      [0xa4093822, 0x299f31d0],
      [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
    ],
  ] as [[number, number, number, number], [number, number], number[]][])('%j %j', (counter, key, expected) => {
    expect(philox(counter, key)).toEqual(expected)
  })
})

describe('order', () => {
  it('is a permutation', () => {
    for (const count of [0, 1, 2, 97]) {
      expect([...order(count, 3, 1)].sort((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, i) => i))
    }
  })

  it('depends on seed and epoch alone', () => {
    expect(order(50, 1, 2)).toEqual(order(50, 1, 2))
    expect(order(50, 1, 2)).not.toEqual(order(50, 1, 3))
    expect(order(50, 1, 2)).not.toEqual(order(50, 2, 2))
  })

  it('gives each place to each example about equally often', () => {
    const seen = Array.from({ length: 4 }, () => new Array<number>(4).fill(0))
    for (let epoch = 0; epoch < 4000; epoch++) {
      order(4, 9, epoch).forEach((example, place) => {
        const row = seen[place]
        if (row) row[example] = (row[example] ?? 0) + 1
      })
    }
    // 1000 expected, standard deviation 27
    for (const count of seen.flat()) expect(Math.abs(count - 1000)).toBeLessThan(140)
  })

  it.each([-1, 0.5, Number.NaN, 2 ** 53])('refuses the seed %s', (seed) => {
    expect(() => order(5, seed, 0)).toThrowError(expect.objectContaining({ code: 'ARGUMENT' }))
  })
})

describe('toBatch', () => {
  const a = { ids: Int32Array.of(5, 6, 7), labels: Int32Array.of(6, 7, -100), id: 4, characters: 3 }
  const b = { ids: Int32Array.of(8, 9), labels: Int32Array.of(9, -100), id: 2, characters: 2 }

  it('lays examples one after another', () => {
    expect(toBatch([a, b])).toEqual({
      ids: Int32Array.of(5, 6, 7, 8, 9),
      labels: Int32Array.of(6, 7, -100, 9, -100),
      lengths: Int32Array.of(3, 2),
      dropoutCounters: Uint32Array.of(4, 2),
    })
  })

  it("takes the caller's dropout counters, one an example", () => {
    expect(toBatch([a, b], Uint32Array.of(70, 71)).dropoutCounters).toEqual(Uint32Array.of(70, 71))
    expect(() => toBatch([a, b], Uint32Array.of(70))).toThrow(RangeError)
  })
})
