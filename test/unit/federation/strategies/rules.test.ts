/** Each rule against two rounds worked by hand on a 2 x 2 layer. */
import { describe, expect, it } from 'vitest'
import type { Adapter } from '../../../../src/adapter/adapter.js'
import { strategyOf } from '../../../../src/federation/strategies/choose.js'
import { nothing } from '../../../../src/federation/strategies/combination.js'
import type { ServerStep, Strategy } from '../../../../src/federation/strategies/strategy.js'
import { type StrategyRule, strategyRule, strategySchema } from '../../../../src/update/strategy-schema.js'
import { dense, matrix, product } from './matrices.js'

const rule = (o: object): StrategyRule => strategySchema.parse(o)
const one = product([1, 0], [2, 4])
const two = product([1, 1], [1, 0])
const [one2, two2] = [
  [2, 4, 0, 0],
  [1, 0, 1, 0],
]

async function rounds(strategy: Strategy, means: Adapter[]): Promise<ServerStep[]> {
  const steps: ServerStep[] = []
  for (const mean of means) {
    const before = steps.at(-1)
    steps.push(await strategy.step({ start: before?.next ?? nothing, mean, state: before?.state ?? {} }))
  }
  return steps
}

describe('fedavg, and what fedprox and scaffold do at the server', () => {
  it('serves the mean untouched at rate 1', async () => {
    for (const name of ['fedavg', 'fedprox', 'scaffold'] as const) {
      const [first] = await rounds(strategyOf(strategyRule(name)), [one])
      expect(first!.next).toBe(one)
      expect(first!.state).toEqual({})
    }
  })

  it('goes the share of the way that the server rate says', async () => {
    const steps = await rounds(strategyOf(rule({ name: 'fedavg', serverLearningRate: 0.5 })), [one, two])
    expect(matrix(steps[0]!.next)).toEqual([1, 2, 0, 0])
    // [1 2; 0 0] + 0.5 ([1 0; 1 0] - [1 2; 0 0])
    expect(matrix(steps[1]!.next)).toEqual([1, 1, 0.5, 0])
  })
})

describe('fedavgm', () => {
  it('adds up what earlier rounds did', async () => {
    const strategy = strategyOf(rule({ name: 'fedavgm', serverLearningRate: 0.5, serverMomentum: 0.5 }))
    const steps = await rounds(strategy, [one, two])
    expect(matrix(steps[0]!.state.velocity)).toEqual(one2)
    expect(matrix(steps[0]!.next)).toEqual([1, 2, 0, 0])
    // v = 0.5 [2 4; 0 0] + ([1 0; 1 0] - [1 2; 0 0]) = [1 0; 1 0];  w = [1 2; 0 0] + 0.5 v
    expect(matrix(steps[1]!.state.velocity)).toEqual([1, 0, 1, 0])
    expect(matrix(steps[1]!.next)).toEqual([1.5, 2, 0.5, 0])
  })

  it('stays in factors, at their numeric rank', async () => {
    const strategy = strategyOf(rule({ name: 'fedavgm' }))
    const steps = await rounds(strategy, [one, two, one, two])
    for (const step of steps) {
      expect(step.next.dense).toEqual([])
      expect(step.next.layers[0]!.rank).toBeLessThanOrEqual(2)
    }
    expect((await rounds(strategy, [one]))[0]!.state.velocity!.layers[0]!.rank).toBe(1)
  })

  it('without momentum and at rate 1 is fedavg', async () => {
    const steps = await rounds(strategyOf(rule({ name: 'fedavgm', serverMomentum: 0 })), [one, two])
    expect(steps.map(({ next }) => matrix(next))).toEqual([one2, two2])
  })

  it('sums dense deltas too, and keeps factors and dense parts of one tensor apart', async () => {
    const strategy = strategyOf(rule({ name: 'fedavgm', serverLearningRate: 1, serverMomentum: 0.5 }))
    const steps = await rounds(strategy, [
      one,
      dense([
        [1, 0],
        [1, 0],
      ]),
    ])
    // v = 0.5 [2 4; 0 0] + [1 0; 1 0] - [2 4; 0 0] = [0 -2; 1 0];  w = [2 4; 0 0] + v
    expect(matrix(steps[1]!.state.velocity)).toEqual([0, -2, 1, 0])
    expect(matrix(steps[1]!.next)).toEqual([2, 2, 1, 0])
    expect(steps[1]!.next.dense).toHaveLength(1)
  })
})

describe('diloco', () => {
  it('takes Nesterov steps', async () => {
    const strategy = strategyOf(rule({ name: 'diloco', serverLearningRate: 0.5, serverMomentum: 0.5 }))
    const steps = await rounds(strategy, [one, two])
    // v = d; w = 0.5 (d + 0.5 d) = 0.75 d
    expect(matrix(steps[0]!.next)).toEqual([1.5, 3, 0, 0])
    // d = [1 0; 1 0] - [1.5 3; 0 0] = [-0.5 -3; 1 0];  v = 0.5 [2 4; 0 0] + d = [0.5 -1; 1 0];  w += 0.5 (d + 0.5 v)
    expect(matrix(steps[1]!.state.velocity)).toEqual([0.5, -1, 1, 0])
    expect(matrix(steps[1]!.next)).toEqual([1.375, 1.25, 0.75, 0])
  })

  it('at one round is task arithmetic with lambda 1.33', async () => {
    const [first] = await rounds(strategyOf(strategyRule('diloco')), [one])
    expect(matrix(first!.next)).toEqual([2.66, 5.32, 0, 0])
  })
})

describe('the adaptive rules', () => {
  const numbers = { serverLearningRate: 0.5, tau: 0.5, beta1: 0 }
  // v begins at tau^2 = 0.25; d of round 1 is [2 4; 0 0], whose entry 4 is followed here.
  it.each([
    ['fedadagrad', {}, [0.25 + 16], 16.25],
    ['fedadam', { beta2: 0.5 }, [0.125 + 8], 8.125],
    ['fedyogi', { beta2: 0.5 }, [0.25 + 8], 8.25],
  ])('%s', async (name, more, _, v) => {
    const [first] = await rounds(strategyOf(rule({ name, ...numbers, ...more })), [one])
    expect(matrix(first!.state.second)[1]).toBeCloseTo(v, 5)
    expect(matrix(first!.next)[1]).toBeCloseTo((0.5 * 4) / (Math.sqrt(v) + 0.5), 5)
    // where nobody moved nothing moves
    expect(matrix(first!.next).slice(2)).toEqual([0, 0])
    expect(first!.next.layers).toEqual([])
    expect(first!.next.dense[0]).toMatchObject({ name: 'w.weight', shape: [2, 2] })
  })

  it('fedadam keeps both moments from round to round', async () => {
    const strategy = strategyOf(rule({ name: 'fedadam', serverLearningRate: 1, tau: 0.5, beta1: 0.5, beta2: 0.5 }))
    const [first, second] = await rounds(strategy, [one, two])
    const m1 = 0.5 * 4
    const v1 = 0.5 * 0.25 + 0.5 * 16
    const w1 = m1 / (Math.sqrt(v1) + 0.5)
    expect(matrix(first!.next)[1]).toBeCloseTo(w1, 5)
    const d = 0 - w1
    const m2 = 0.5 * m1 + 0.5 * d
    const v2 = 0.5 * v1 + 0.5 * d * d
    expect(matrix(second!.state.first)[1]).toBeCloseTo(m2, 5)
    expect(matrix(second!.state.second)[1]).toBeCloseTo(v2, 5)
    expect(matrix(second!.next)[1]).toBeCloseTo(w1 + m2 / (Math.sqrt(v2) + 0.5), 5)
  })

  it('fedyogi lowers v where the step is small, by no more than its square', async () => {
    const strategy = strategyOf(rule({ name: 'fedyogi', ...numbers, beta2: 0.5 }))
    const [first] = await rounds(strategy, [product([1, 0], [0.25, 0])])
    expect(matrix(first!.state.second)[0]).toBeCloseTo(0.25 - 0.5 * 0.0625, 6)
  })
})

it('a sum refuses adapters of different sizes', async () => {
  const strategy = strategyOf(rule({ name: 'fedavgm' }))
  const wide = product([1, 0, 0], [1, 2])
  await expect(strategy.step({ start: one, mean: wide, state: {} })).rejects.toMatchObject({ code: 'MISMATCH' })
})
