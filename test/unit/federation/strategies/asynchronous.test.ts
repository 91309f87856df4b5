/** Rules that take updates as they come. */
import { describe, expect, it } from 'vitest'
import { combine, nothing } from '../../../../src/federation/strategies/combination.js'
import { type FedBuffRule, fedbuffStep, stalenessWeight } from '../../../../src/federation/strategies/fedbuff.js'
import { arrive, type RunningMean } from '../../../../src/federation/strategies/running-mean.js'
import { strategyRule } from '../../../../src/update/strategy-schema.js'
import { matrix, product } from './matrices.js'

const rule = { ...strategyRule('fedbuff'), buffer: 2 } as FedBuffRule
const one = product([1, 0], [2, 4])
const two = product([1, 1], [1, 0])
const three = product([0, 1], [0, 3])

describe('fedbuff', () => {
  it('weighs an update by 1 / sqrt(1 + staleness)', () => {
    expect([0, 1, 3, 8].map((staleness) => stalenessWeight(rule, staleness))).toEqual([1, 1 / Math.sqrt(2), 0.5, 1 / 3])
    expect(stalenessWeight({ ...rule, stalenessExponent: 0 }, 5)).toBe(1)
  })

  it('steps by the weighted steps of its buffer, worked by hand', async () => {
    // fresh: end [2 4; 0 0] from 0. stale by 3: end [1 0; 1 0] from [0 0; 0 3], so a step of [1 0; 1 -3], half of it.
    const next = await fedbuffStep({ ...rule, serverLearningRate: 0.5 }, three, [
      { end: one, start: nothing, staleness: 0, weight: 1 },
      { end: two, start: three, staleness: 3, weight: 1 },
    ])
    // [0 0; 0 3] + 0.5 * (0.5 * [2 4; 0 0] + 0.5 * 0.5 * [1 0; 1 -3])
    expect(matrix(next)).toEqual([0.625, 1, 0.125, 2.625])
  })

  it('with a full buffer of fresh updates is a round of fedavg, by any weights', async () => {
    const next = await fedbuffStep(rule, nothing, [
      { end: one, start: nothing, staleness: 0, weight: 30 },
      { end: two, start: nothing, staleness: 0, weight: 10 },
    ])
    const mean = await combine([
      { weight: 0.75, adapter: one },
      { weight: 0.25, adapter: two },
    ])
    expect(matrix(next)).toEqual(matrix(mean))
  })
})

describe('the running mean', () => {
  const weighted = [
    { adapter: one, weight: 5 },
    { adapter: two, weight: 2 },
    { adapter: three, weight: 1 },
  ]
  it.each([[[0, 1, 2]], [[2, 1, 0]], [[1, 2, 0]]])('ends at the one-shot mean in order %j', async (order) => {
    let running: RunningMean | undefined
    for (const i of order) running = await arrive(running, weighted[i]!.adapter, weighted[i]!.weight)
    const mean = await combine(weighted.map(({ adapter, weight }) => ({ adapter, weight: weight / 8 })))
    expect(running!.weight).toBe(8)
    expect(matrix(running!.adapter)).toEqual(matrix(mean))
  })

  it('is at each moment the mean of what is there', async () => {
    const first = await arrive(undefined, one, 3)
    expect(matrix(first.adapter)).toEqual([2, 4, 0, 0])
    expect(matrix((await arrive(first, two, 1)).adapter)).toEqual([1.75, 3, 0.25, 0])
  })
})
