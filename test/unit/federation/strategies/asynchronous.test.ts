/** Rules that take updates as they come. */
import { describe, expect, it } from 'vitest'
import { combine, nothing } from '../../../../src/federation/strategies/combination.js'
import { type FedBuffRule, fedbuffStep, stalenessWeight } from '../../../../src/federation/strategies/fedbuff.js'
import { arrive, type RunningMean } from '../../../../src/federation/strategies/running-mean.js'
import { ControlVariates, controlDifference } from '../../../../src/federation/strategies/scaffold.js'
import { decodeVectors, encodeVectors } from '../../../../src/federation/vectors.js'
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
      { client: 'a', visit: 1, end: one, start: nothing, staleness: 0, weight: 1 },
      { client: 'b', visit: 1, end: two, start: three, staleness: 3, weight: 1 },
    ])
    // [0 0; 0 3] + 0.5 * (0.5 * [2 4; 0 0] + 0.5 * 0.5 * [1 0; 1 -3])
    expect(matrix(next)).toEqual([0.625, 1, 0.125, 2.625])
  })

  it('has the same bits in any order of its buffer', async () => {
    const buffer = [
      { client: 'a', visit: 1, end: one, start: nothing, staleness: 0, weight: 3 },
      { client: 'b', visit: 1, end: two, start: three, staleness: 3, weight: 1 },
      { client: 'b', visit: 2, end: three, start: nothing, staleness: 0, weight: 2 },
    ]
    const forth = await fedbuffStep(rule, three, buffer)
    expect((await fedbuffStep(rule, three, [...buffer].reverse())).layers).toEqual(forth.layers)
  })

  it('with a full buffer of fresh updates is a round of fedavg, by any weights', async () => {
    const next = await fedbuffStep(rule, nothing, [
      { client: 'a', visit: 1, end: one, start: nothing, staleness: 0, weight: 30 },
      { client: 'b', visit: 1, end: two, start: nothing, staleness: 0, weight: 10 },
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

describe('control variates', () => {
  it('are the mean gradient of a round of plain SGD, worked by hand', () => {
    // Two steps at rates 0.5 and 0.25 along corrected gradients g - c_i + c, with c = (1, 0) and c_i = 0.
    const c = Float32Array.of(1, 0)
    const gradients = [
      [2, 4],
      [6, 4],
    ]
    const rates = [0.5, 0.25]
    const moved = Float32Array.from([0, 1], (k) =>
      gradients.reduce((sum, g, step) => sum - rates[step]! * (g[k]! + c[k]!), 0),
    )
    const difference = controlDifference(c, moved, 0.75)
    // rate-weighted means: (0.5 * 2 + 0.25 * 6) / 0.75 and 4
    expect(difference[0]).toBeCloseTo(10 / 3, 5)
    expect(difference[1]).toBeCloseTo(4, 5)
  })

  it('sum to the server, each with its share, and correct towards it', () => {
    const controls = new ControlVariates(2)
    expect([...controls.correction('a')]).toEqual([0, 0])
    controls.take('a', Float32Array.of(4, 0), 0.5)
    controls.take('b', Float32Array.of(0, 2), 0.5)
    expect([...controls.server]).toEqual([2, 1])
    expect([...controls.correction('a')]).toEqual([-2, 1])
    expect([...controls.correction('b')]).toEqual([2, -1])
    expect([...controls.correction('new')]).toEqual([2, 1])
  })

  it('refuse a file of another round, size or with NaN', () => {
    const labels = { kind: 'control', client: 'a', round: '2' }
    const bytes = encodeVectors(labels, { difference: Float32Array.of(1, 2) })
    expect(decodeVectors(bytes, labels, { difference: 2 }).difference).toEqual(Float32Array.of(1, 2))
    const refused = (run: () => unknown, code: string) =>
      expect(run).toThrow(expect.objectContaining({ code, fix: expect.any(String) }))
    refused(() => decodeVectors(bytes, { ...labels, round: '3' }, { difference: 2 }), 'MISMATCH')
    refused(() => decodeVectors(bytes, { kind: 'control', client: 'a' }, { difference: 2 }), 'MISMATCH')
    refused(() => decodeVectors(bytes, labels, { difference: 3 }), 'MALFORMED')
    refused(() => decodeVectors(bytes, labels, { other: 2 }), 'MALFORMED')
    refused(() => decodeVectors(new Uint8Array(1 << 17), labels, { difference: 2 }), 'MALFORMED')
    refused(() => decodeVectors(new Uint8Array(0), labels, { difference: 2 }), 'MALFORMED')
    const nan = encodeVectors(labels, { difference: Float32Array.of(1, Number.NaN) })
    refused(() => decodeVectors(nan, labels, { difference: 2 }), 'MALFORMED')
  })
})
