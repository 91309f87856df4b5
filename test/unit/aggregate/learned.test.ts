import { describe, expect, test } from 'vitest'
import { chooseLambda } from '../../../src/aggregate/choose-lambda.js'
import { gram, squaredDistances } from '../../../src/aggregate/gram.js'
import { learnLayerWeights } from '../../../src/aggregate/learn-layer-weights.js'
import { dense, randomUpdate, tinyPlan } from './dense.js'

describe('chooseLambda', () => {
  test('finds the least loss to an eighth of the range and asks each value once', async () => {
    const asked: number[] = []
    const chosen = await chooseLambda(async (lambda) => {
      asked.push(lambda)
      return (lambda - 1.33) ** 2
    })
    expect(Math.abs(chosen.lambda - 1.33)).toBeLessThanOrEqual(1 / 16)
    expect(new Set(asked).size).toBe(asked.length)
    expect(asked.length).toBeLessThanOrEqual(13)
    expect(chosen.tried.map(({ lambda }) => lambda)).toEqual([...asked].sort((x, y) => x - y))
    expect(chosen.loss).toBe((chosen.lambda - 1.33) ** 2)
  })

  test('stays within the candidates and refuses what is no loss', async () => {
    expect((await chooseLambda(async (x) => -x, { candidates: [0, 1] })).lambda).toBe(1)
    expect((await chooseLambda(async () => 1, { candidates: [2, 0.5] })).lambda).toBe(0.5)
    await expect(chooseLambda(async () => Number.NaN)).rejects.toThrow(expect.objectContaining({ code: 'NUMERIC' }))
    await expect(chooseLambda(async () => 1, { candidates: [] })).rejects.toThrow(
      expect.objectContaining({ code: 'ARGUMENT' }),
    )
  })
})

describe('learnLayerWeights', () => {
  const target: Record<string, Record<string, number>> = { up: { a: 0.75, b: 0.25 }, down: { a: -0.5, b: 1 } }
  const loss = async (weights: Record<string, Record<string, number>>) =>
    Object.entries(target).reduce(
      (sum, [layer, by]) =>
        sum + Object.entries(by).reduce((inner, [client, w]) => inner + (weights[layer]![client]! - w) ** 2, 0),
      0,
    )
  test('finds weights by layer and client', async () => {
    const found = await learnLayerWeights(loss, { start: { a: 0.5, b: 0.5 }, groups: [['up'], ['down']] })
    expect(found.loss).toBeLessThan(1e-3)
    expect(found.weights.down!.a).toBeCloseTo(-0.5, 1)
    expect(await loss(found.weights)).toBe(found.loss)
  })
  test('layers of a group share weights; evaluations are limited', async () => {
    const found = await learnLayerWeights(loss, { start: { a: 0.5, b: 0.5 }, groups: [['up', 'down']], evaluations: 9 })
    expect(found.evaluations).toBeLessThanOrEqual(9)
    expect(found.weights.up).toEqual(found.weights.down)
    const start = await loss({ up: { a: 0.5, b: 0.5 }, down: { a: 0.5, b: 0.5 } })
    expect(found.loss).toBeLessThan(start)
  })
})

describe('gram', () => {
  const plan = tinyPlan([
    { name: 'x.up', in: 17, out: 23, rank: 4, scale: 2 },
    { name: 'x.down', in: 30, out: 9, rank: 4, scale: 2 },
  ])
  const updates = ['c', 'a', 'b'].map((name, i) => randomUpdate(plan, name, 5 + i))
  test('is the inner products of the dense updates, clients by name', async () => {
    const { clients, values } = await gram(updates)
    expect(clients).toEqual(['a', 'b', 'c'])
    const sorted = [updates[1]!, updates[2]!, updates[0]!]
    const whole = sorted.map((u) => u.adapter.layers.flatMap((layer) => [...dense(layer)]))
    whole.forEach((x, i) => {
      whole.forEach((y, j) => {
        const expected = x.reduce((sum, value, e) => sum + value * y[e]!, 0)
        const size = Math.hypot(...x) * Math.hypot(...y)
        expect(Math.abs(values[i * 3 + j]! - expected) / size).toBeLessThan(1e-13)
      })
    })
    const distances = squaredDistances({ clients, values })
    expect(distances[1]! / whole[0]!.reduce((sum, x, e) => sum + (x - whole[1]![e]!) ** 2, 0)).toBeCloseTo(1, 12)
    expect([distances[0], distances[4], distances[8]]).toEqual([0, 0, 0])
    expect(await gram([...updates].reverse(), { threads: 3 })).toEqual({ clients, values })
  })
  test('refuses updates of other layers', async () => {
    const other = randomUpdate(tinyPlan([{ name: 'x.up', in: 17, out: 23, rank: 4, scale: 2 }]), 'z', 1)
    await expect(gram([...updates, other])).rejects.toThrow(expect.objectContaining({ code: 'MISMATCH' }))
  })
})
