/** Values of small games that are worked by hand, and what Shapley's axioms say of any game. */
import { describe, expect, it } from 'vitest'
import { allCoalitions, everybody, joined, left, nobody, total, type Worth } from '../../../src/valuation/coalition.js'
import { heldOutError, standardError, studentQuantile, together } from '../../../src/valuation/interval.js'
import { coalitionsOf, joiningOrders, sampledShapley } from '../../../src/valuation/orders.js'
import { leaveOneOut, shapley } from '../../../src/valuation/shapley.js'

const one = (value: number) => Float64Array.of(value)
const sums = (values: readonly Float64Array[]) => values.map(total)
/** A game of random worths in two parts, the same for a seed. */
function randomGame(seed: number): Worth {
  const known = new Map<string, Float64Array>()
  let state = seed
  const next = () => {
    state = (state * 48271) % 2147483647
    return state / 2147483647 - 0.3
  }
  return (coalition) => {
    const found = known.get(coalition) ?? Float64Array.of(next(), next())
    known.set(coalition, found)
    return found
  }
}

describe('Shapley values', () => {
  it('of the glove game: one left glove, two right ones', () => {
    // Client 0 owns the left glove. A pair is worth 1: 0 gets 2/3, the others 1/6 each.
    const pair: Worth = (c) => one(c[0] === '1' && (c[1] === '1' || c[2] === '1') ? 1 : 0)
    for (const [i, value] of sums(shapley(3, pair)).entries()) expect(value).toBeCloseTo([2 / 3, 1 / 6, 1 / 6][i]!, 14)
    expect(sums(leaveOneOut(3, pair))).toEqual([1, 0, 0])
  })

  it('of a vote: 50 of 100 needed, weights 40, 30, 20, 10, in 1/12', () => {
    const weights = [40, 30, 20, 10]
    const wins: Worth = (c) => one(weights.reduce((sum, w, i) => sum + (c[i] === '1' ? w : 0), 0) > 50 ? 1 : 0)
    for (const [i, value] of sums(shapley(4, wins)).entries()) expect(value * 12).toBeCloseTo([5, 3, 3, 1][i]!, 12)
  })

  it('of an additive game are what each adds alone, also where one adds nothing', () => {
    const adds = [3, -1, 0, 2.5]
    const game: Worth = (c) => one(adds.reduce((sum, a, i) => sum + (c[i] === '1' ? a : 0), 0))
    for (const values of [shapley(4, game), leaveOneOut(4, game)])
      for (const [i, value] of sums(values).entries()) expect(value).toBeCloseTo(adds[i]!, 12)
    const sampled = sampledShapley(joiningOrders(4, 2, 1), game)
    for (const [i, value] of sums(sampled.values).entries()) expect(value).toBeCloseTo(adds[i]!, 12)
  })

  it.each([1, 2, 3, 7])('sum to what everybody adds, part by part: %i clients', (clients) => {
    const game = randomGame(clients)
    const all = game(everybody(clients))
    const none = game(nobody(clients))
    const orders = joiningOrders(clients, 3, 5)
    for (const values of [shapley(clients, game), sampledShapley(orders, game).values])
      for (const part of [0, 1])
        expect(values.reduce((sum, value) => sum + value[part]!, 0)).toBeCloseTo(all[part]! - none[part]!, 12)
  })

  it('are equal for clients that may be swapped, and 0 for one that never changes anything', () => {
    const random = randomGame(11)
    // Clients 0 and 1 are told apart by their number only; client 3 is not looked at.
    const game: Worth = (c) => random(`${Number(c[0]) + Number(c[1])}${c[2]}`)
    const [a, b, , dummy] = sums(shapley(4, game))
    expect(a).toBeCloseTo(b!, 12)
    expect(dummy).toBeCloseTo(0, 14)
    expect(Math.abs(a!)).toBeGreaterThan(1e-3)
  })

  it('of two games together are the sums of their values', () => {
    const [left, right] = [randomGame(3), randomGame(4)]
    const both = sums(shapley(5, (c) => left(c).map((value, i) => value + right(c)[i]!)))
    const apart = [sums(shapley(5, left)), sums(shapley(5, right))]
    for (const [i, value] of both.entries()) expect(value).toBeCloseTo(apart[0]![i]! + apart[1]![i]!, 12)
  })
})

describe('orders', () => {
  it('are permutations in pairs, seeded, each second one backwards', () => {
    const orders = joiningOrders(12, 7, 3)
    expect(orders).toHaveLength(8)
    for (const order of orders)
      expect([...order].sort((x, y) => x - y)).toEqual(Array.from({ length: 12 }, (_, i) => i))
    expect([...orders[1]!]).toEqual([...orders[0]!].reverse())
    expect(joiningOrders(12, 7, 3)).toEqual(orders)
    expect(joiningOrders(12, 7, 4)).not.toEqual(orders)
    expect(joiningOrders(12, 20, 3).slice(0, 8)).toEqual(orders)
  })

  it('pass through the coalitions that are listed, each once', () => {
    const listed = coalitionsOf(joiningOrders(12, 4, 9))
    expect(new Set(listed).size).toBe(listed.length)
    expect(listed.length).toBeLessThanOrEqual(4 * 11 + 2)
    const asked = new Set<string>()
    sampledShapley(joiningOrders(12, 4, 9), (c) => {
      asked.add(c)
      return one(0)
    })
    expect([...asked].sort()).toEqual([...listed].sort())
  })

  it('come to the exact values, within the interval in about 95 of 100 cases', () => {
    // Gains shrink with size, pairs interact: neither a sum of parts nor a game where pairs cancel everything.
    const clients = 7
    const strength = [5, 1, 0.2, -2, 3, 3, 0]
    const random = randomGame(21)
    const game: Worth = (c) => {
      const sum = strength.reduce((total, s, i) => total + (c[i] === '1' ? s : 0), 0)
      return one(Math.atan(sum / 4) + (c === nobody(clients) ? 0 : 0.2 * random(c)[0]!))
    }
    const exact = sums(shapley(clients, game))
    let inside = 0
    let widths = 0
    const seeds = 40
    for (let seed = 0; seed < seeds; seed++) {
      const { values, errors, pairs } = sampledShapley(joiningOrders(clients, 40, seed), game)
      for (const [i, value] of sums(values).entries()) {
        const half = studentQuantile(pairs - 1) * errors[i]!
        widths += half / (seeds * clients)
        if (Math.abs(value - exact[i]!) <= half) inside++
      }
    }
    expect(inside / (seeds * clients)).toBeGreaterThan(0.9)
    expect(widths).toBeLessThan(0.1)
    const many = sums(sampledShapley(joiningOrders(clients, 4000, 1), game).values)
    for (const [i, value] of many.entries()) expect(Math.abs(value - exact[i]!)).toBeLessThan(0.01)
  })

  it('in pairs spread less than apart where gains shrink with size', () => {
    const game: Worth = (c) => one(Math.log1p([...c].filter((x) => x === '1').length))
    const paired = sampledShapley(joiningOrders(9, 40, 2), game)
    const first = joiningOrders(9, 80, 2).filter((_, i) => i % 2 === 0)
    const apart = sampledShapley(first, game)
    for (const [i, error] of paired.errors.entries()) expect(error!).toBeLessThan(apart.errors[i]!)
  })
})

describe('coalitions', () => {
  it('are named by who is in', () => {
    expect(allCoalitions(2)).toEqual(['00', '10', '01', '11'])
    expect(joined('0100', 3)).toBe('0101')
    expect(left('0101', 1)).toBe('0001')
  })
})

describe('errors', () => {
  it('of a mean', () => {
    expect(standardError([1, 3])).toBeCloseTo(1, 14)
    expect(standardError([2])).toBeUndefined()
    expect(together(3, 4)).toBe(5)
    expect(together(undefined, 4)).toBe(4)
    expect(together(undefined)).toBeUndefined()
  })

  it('over parts of a text: none where every part says the same, and that of a mean where parts are of one size', () => {
    expect(heldOutError(Float64Array.of(0.2, 0.6), Float64Array.of(0.25, 0.75))).toBeCloseTo(0, 14)
    const draws = [0.1, 0.5, -0.2, 0.4]
    const parts = Float64Array.from(draws, (draw) => draw / 4)
    expect(heldOutError(parts, new Float64Array(4).fill(0.25))).toBeCloseTo(standardError(draws)!, 14)
    expect(heldOutError(Float64Array.of(1), Float64Array.of(1))).toBeUndefined()
  })

  it.each([
    [1, 12.7062],
    [4, 2.7764],
    [5, 2.5706],
    [9, 2.2622],
    [19, 2.093],
    [99, 1.9842],
    [1e6, 1.96],
  ])("Student's t of %i degrees", (degrees, quantile) => {
    expect(studentQuantile(degrees)).toBeCloseTo(quantile, 2)
  })
})
