import { describe, expect, it } from 'vitest'
import { type Example, makeDataset } from '../../../src/data/dataset.js'
import { dirichlet } from '../../../src/data/dirichlet.js'
import { exp, ln } from '../../../src/data/elementary.js'
import { Draws } from '../../../src/data/random.js'
import { countRepeats, dropRepeats } from '../../../src/data/repeats.js'
import { bar, labelShares, lengthHistogram } from '../../../src/data/shares.js'
import { divideByLabel, divideBySize, MIN_EXAMPLES } from '../../../src/data/skew.js'

const whole = (count: number): number[] => Array.from({ length: count }, (_, i) => i)
const flat = (parts: number[][]): number[] => parts.flat().sort((a, b) => a - b)
const labels = (count: number, kinds = 4): string[] => Array.from({ length: count }, (_, i) => `label ${i % kinds}`)

describe('logarithm and exponential', () => {
  it.each([1e-300, 1e-9, 0.3, 0.71, 1, 1.5, 2, 10, 12345.678, 1e300])('of %d are right to 2e-15', (x) => {
    expect(Math.abs(ln(x) - Math.log(x))).toBeLessThanOrEqual(2e-15 * Math.max(1, Math.abs(Math.log(x))))
  })

  it.each([-690, -30.5, -1, -1e-9, 0, 0.3, 1, 20, 690])('e^%d is right to 4e-15', (x) => {
    expect(Math.abs(exp(x) / Math.exp(x) - 1)).toBeLessThanOrEqual(4e-15)
  })

  it('have the same bits everywhere', () => {
    const bits = (x: number): string => Buffer.from(Float64Array.of(x).buffer).toString('hex')
    expect([ln(3), ln(0.1), exp(1), exp(-7.5)].map(bits)).toMatchInlineSnapshot(`
      [
        "0b03ad7aea93f13f",
        "1555b5bbb16b02c0",
        "6a57148b0abf0540",
        "d5310fa49b1f423f",
      ]
    `)
  })
})

describe('Dirichlet shares', () => {
  /** E p_i = 1/k, Var p_i = (1/k)(1 - 1/k) / (k alpha + 1) */
  it.each([0.1, 0.5, 1, 10])('with alpha %d have its mean and variance', (alpha) => {
    const k = 5
    const draws = new Draws(7, 4, 0)
    const firsts = Array.from({ length: 4000 }, () => dirichlet(k, alpha, draws)[0] as number)
    const mean = firsts.reduce((a, b) => a + b) / firsts.length
    const variance = firsts.reduce((sum, x) => sum + (x - mean) ** 2, 0) / firsts.length
    const expected = ((1 / k) * (1 - 1 / k)) / (k * alpha + 1)
    expect(Math.abs(mean - 1 / k)).toBeLessThan(5 * Math.sqrt(expected / firsts.length))
    expect(variance / expected).toBeGreaterThan(0.88)
    expect(variance / expected).toBeLessThan(1.12)
  })

  it('sum to 1 where nearly all variates would underflow', () => {
    const draws = new Draws(1, 4, 0)
    const drawn = Array.from({ length: 50 }, () => dirichlet(10, 1e-3, draws))
    for (const shares of drawn) expect(shares.reduce((a, b) => a + b)).toBeCloseTo(1, 12)
    // nearly always one takes nearly all
    expect(drawn.filter((shares) => Math.max(...shares) > 0.99).length).toBeGreaterThan(40)
  })
})

describe('label skew', () => {
  it.each([0.01, 0.5, 100])('with alpha %d leaves out and doubles nothing, and no client is empty', (alpha) => {
    const parts = divideByLabel(labels(400), 10, alpha, 3)
    expect(flat(parts)).toEqual(whole(400))
    for (const part of parts) {
      expect(part.length).toBeGreaterThanOrEqual(MIN_EXAMPLES)
      expect(part).toEqual([...part].sort((a, b) => a - b))
    }
  })

  it('is stronger the smaller alpha', () => {
    const all = labels(4000)
    const distance = (alpha: number): number => {
      const examples = all.map((label, id) => example(id, [id, 1], { label }))
      const parts = divideByLabel(all, 10, alpha, 3).map((part, i) => [
        `c${i}`,
        makeDataset(part.map((at) => examples[at] as Example)),
      ])
      const { clients } = labelShares(Object.fromEntries(parts), 'label')
      return clients.reduce((sum, client) => sum + client.distance, 0) / clients.length
    }
    const [strong, middle, weak] = [distance(0.05), distance(0.5), distance(100)] as const
    expect(strong).toBeGreaterThan(middle + 0.1)
    expect(middle).toBeGreaterThan(weak + 0.1)
    expect(weak).toBeLessThan(0.1)
  })

  it("is the seed's alone, and keeps its very parts", () => {
    const at = (seed: number): number[][] => divideByLabel(labels(40), 4, 0.5, seed)
    expect(at(1)).toEqual(at(1))
    expect(at(1)).not.toEqual(at(2))
    expect(at(1).map((part) => part.length)).toMatchInlineSnapshot(`
      [
        7,
        11,
        3,
        19,
      ]
    `)
  })

  it('refuses too many clients', () => {
    expect(() => divideByLabel(labels(9), 5, 1, 0)).toThrowError(expect.objectContaining({ code: 'ARGUMENT' }))
  })
})

describe('size skew', () => {
  it('follows its formula', () => {
    const sizes = divideBySize(106, 3, 1, 0).map((part) => part.length)
    // 2 each, and 100 in the proportions 1 : 1/2 : 1/3 are 54.5, 27.3, 18.2
    expect(sizes).toEqual([57, 29, 20])
    expect(divideBySize(100, 4, 0, 0).map((part) => part.length)).toEqual([25, 25, 25, 25])
  })

  it.each([0, 1, 10])('with s %d leaves out and doubles nothing', (s) => {
    const parts = divideBySize(97, 7, s, 5)
    expect(flat(parts)).toEqual(whole(97))
    for (const part of parts) expect(part.length).toBeGreaterThanOrEqual(MIN_EXAMPLES)
  })

  it('refuses too many clients', () => {
    expect(() => divideBySize(9, 5, 1, 0)).toThrowError(expect.objectContaining({ code: 'ARGUMENT' }))
  })
})

function example(id: number, ids: number[], fields?: Record<string, string>): Example {
  const labels = Int32Array.from([...ids.slice(1), -100])
  return { ids: Int32Array.from(ids), labels, id, characters: ids.length, ...(fields ? { fields } : {}) }
}

describe('splits by name', () => {
  const data = makeDataset(labels(60).map((label, id) => example(id, [id, 1], { label })))

  it('make clients with their numbers', () => {
    const names = ['client-1', 'client-2', 'client-3']
    expect(Object.keys(data.split('dirichlet:0.5:label', { clients: 3, seed: 0 }))).toEqual(names)
    expect(Object.keys(data.split('quantity:2', { clients: 3, seed: 0 }))).toEqual(names)
  })

  it.each([
    ['dirichlet:0.5', 'ARGUMENT'],
    ['dirichlet::label', 'ARGUMENT'],
    ['dirichlet:0:label', 'ARGUMENT'],
    ['dirichlet:x:label', 'ARGUMENT'],
    ['dirichlet:0.5:year', 'NOT_FOUND'],
    ['quantity:', 'ARGUMENT'],
    ['quantity', 'ARGUMENT'],
    ['quantity:-1', 'ARGUMENT'],
    ['quantity:NaN', 'ARGUMENT'],
  ])('%s is refused', (by, code) => {
    expect(() => data.split(by, { clients: 3, seed: 0 })).toThrowError(expect.objectContaining({ code }))
  })

  it('need a number of clients', () => {
    for (const by of ['dirichlet:0.5:label', 'quantity:2']) {
      expect(() => data.split(by, { seed: 0 })).toThrowError(expect.objectContaining({ code: 'ARGUMENT' }))
    }
  })
})

describe('what simulate shows', () => {
  const clients = {
    north: makeDataset([example(0, [1, 2], { t: 'a' }), example(1, [1, 2, 3], { t: 'a' })]),
    south: makeDataset([example(0, [1, 2], { t: 'b' }), example(1, [5, 6, 7, 8, 9, 9], { t: 'c' })]),
  }

  it('labels of each client, the common first, the rare together', () => {
    expect(labelShares(clients, 't')).toEqual({
      field: 't',
      labels: ['a', 'b', 'c'],
      clients: [
        { client: 'north', examples: 2, counts: [2, 0, 0], distance: 0.5 },
        { client: 'south', examples: 2, counts: [0, 1, 1], distance: 0.5 },
      ],
    })
    expect(labelShares(clients, 't', 2)).toMatchObject({
      labels: ['a', 'others'],
      clients: [{ counts: [2, 0] }, { counts: [0, 2] }],
    })
    expect(() => labelShares(clients, 'x')).toThrowError(expect.objectContaining({ code: 'NOT_FOUND' }))
  })

  it('lengths in ranges that hold every example', () => {
    expect(lengthHistogram(clients, 2)).toEqual([
      { from: 2, to: 4, examples: 3 },
      { from: 5, to: 7, examples: 1 },
    ])
    expect(lengthHistogram({})).toEqual([])
  })

  it('bars', () => {
    expect([bar(8, 8, 4), bar(4, 8, 4), bar(1, 16, 2), bar(0, 8, 4), bar(1e-9, 1, 4)]).toEqual([
      '████',
      '██',
      '▏',
      '',
      '▏',
    ])
  })
})

describe('held-out rows that are trained on', () => {
  const clients = {
    north: makeDataset(
      [
        [1, 2],
        [3, 4],
        [5, 6],
        [1, 2],
        [9, 9],
      ].map((ids, i) => example(i, ids)),
    ),
    south: makeDataset(
      [
        [7, 8],
        [7, 7],
        [8, 8],
        [3, 4],
        [6, 6],
      ].map((ids, i) => example(i, ids)),
    ),
  }

  it('are counted, of others and of the own', () => {
    expect(countRepeats(clients, 0.4)).toEqual([
      { client: 'north', heldOut: 2, repeated: 1, own: 1 },
      { client: 'south', heldOut: 2, repeated: 1, own: 0 },
    ])
    expect(countRepeats(clients, 0).map(({ repeated }) => repeated)).toEqual([0, 0])
  })

  it('are dropped, and the training part stays as it was', () => {
    const kept = dropRepeats(clients, 0.4)
    for (const [name, data] of Object.entries(kept)) {
      const { train, heldOut } = data.heldOut(0.4)
      expect(train.examples).toEqual(clients[name as 'north'].heldOut(0.4).train.examples)
      expect(heldOut.count).toBe(1)
    }
    expect(countRepeats(kept, 0.4).every(({ repeated }) => repeated === 0)).toBe(true)
  })

  it('are refused where nothing else is left', () => {
    const all = {
      only: makeDataset(
        [
          [1, 2],
          [1, 2],
        ].map((ids, i) => example(i, ids)),
      ),
    }
    expect(() => dropRepeats(all, 0.5)).toThrowError(expect.objectContaining({ code: 'ARGUMENT' }))
  })
})
