/** Clients are valued from their updates alone, on real training of a random base. */
import { beforeAll, describe, expect, it } from 'vitest'
import { type Adapter, makeAdapter } from '../../../src/adapter/adapter.js'
import { openAggregator } from '../../../src/aggregate/aggregator.js'
import { toBatch } from '../../../src/data/batches.js'
import { evaluate } from '../../../src/evaluate/evaluate.js'
import { startOfRound } from '../../../src/train/start.js'
import { train } from '../../../src/train/train.js'
import { makeUpdate, type Update } from '../../../src/update/update.js'
import { coefficientsOf } from '../../../src/valuation/coalition-losses.js'
import { openMixture } from '../../../src/valuation/mixture.js'
import type { Valuation } from '../../../src/valuation/valuation.js'
import { valueClients } from '../../../src/valuation/value-clients.js'
import { names, of, trainedClients, valueSum } from './trained-clients.js'

const trained = trainedClients()
const size = { threads: 1, rowsPerPass: 256, longestExample: 64 }

const as = (client: string, { info, adapter }: Update, change: (adapter: Adapter) => Adapter = (same) => same) =>
  makeUpdate({ ...info, client }, change(adapter))
const flipped = (adapter: Adapter) =>
  makeAdapter(adapter.layers.map((layer) => ({ ...layer, b: layer.b.map((value) => -value) })))
/** Noise of the same size as what was trained, seeded. */
function noise(adapter: Adapter): Adapter {
  let state = 99
  const next = () => {
    state = (state * 48271) % 2147483647
    return state / 2147483647 - 0.5
  }
  return makeAdapter(
    adapter.layers.map((layer) => {
      const norm = (values: Float32Array) => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0))
      const like = (values: Float32Array) => {
        const random = values.map(next)
        return random.map((value) => (value * norm(values)) / norm(random))
      }
      return { ...layer, a: like(layer.a), b: like(layer.b) }
    }),
  )
}

describe('a duplicate, a noisy and a sign-flipped client', () => {
  let valuation: Valuation
  beforeAll(async () => {
    const [north, east, south, west] = trained.honest as [Update, Update, Update, Update]
    // The twin trained by itself, on the same data.
    const twin = await train(trained.tiny.base, trained.tiny.clients.south!, trained.plan, { client: 'twin' })
    valuation = await trained.value(
      [north, east, south, west, twin, as('noise', east, noise), as('flip', west, flipped)],
      {
        learn: ['weights', 'lambda'],
      },
    )
  })
  const found = (rule: string) => valuation.findings.filter((finding) => finding.rule === rule)

  it('are found, the flipped one by a negative value, as is its leave-one-out', () => {
    expect(of(valuation, 'flip').shapley).toBeLessThan(0)
    const { leaveOneOut, leaveOneOutInterval: left } = of(valuation, 'flip')
    expect(leaveOneOut).toBeLessThan(0)
    expect(left![1]).toBeLessThan(0)
    expect(left![0] + left![1]).toBeCloseTo(2 * leaveOneOut, 12)
    expect(found('harms').map(({ clients }) => clients)).toContainEqual(['flip'])
    expect(of(valuation, 'flip').interval![1]).toBeLessThan(0)
  })

  it('are found, noise by a value that is not above 0', () => {
    expect(of(valuation, 'noise').interval![0]).toBeLessThanOrEqual(0)
    expect([...found('harms'), ...found('no-value')].map(({ clients }) => clients)).toContainEqual(['noise'])
  })

  it('are found, the duplicate by the same direction and the same value', () => {
    expect(found('duplicate').map(({ clients }) => clients)).toEqual([['south', 'twin']])
    expect(of(valuation, 'twin').nearest!.client).toBe('south')
    expect(of(valuation, 'twin').nearest!.cosine).toBeGreaterThan(0.999999)
    expect(of(valuation, 'twin').shapley).toBeCloseTo(of(valuation, 'south').shapley, 6)
  })

  it('and every honest client has a value above 0', () => {
    for (const client of names) expect(of(valuation, client).interval![0], client).toBeGreaterThan(0)
    for (const client of names)
      for (const rule of ['harms', 'no-value'])
        expect(found(rule).map(({ clients }) => clients[0])).not.toContain(client)
  })

  it('sum to what all together add', () => {
    expect(valueSum(valuation)).toBeCloseTo(valuation.baseLoss - valuation.loss, 10)
    expect(valuation).toMatchObject({ method: 'exact', evaluations: 2 ** 7, round: 1 })
  })

  it('and learned weights leave the flipped and the noisy one out, which helps on text that was not fitted', () => {
    const { weights, fit, test, lambda } = valuation.learned[0]!
    expect(weights.flip).toBe(0)
    expect(weights.noise).toBeLessThan(0.02)
    expect(Object.values(weights).reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(1, 12)
    expect(fit.after).toBeLessThan(fit.before)
    expect(test.after).toBeLessThan(test.before - 2 * test.standardError!)
    expect(lambda).toBe(1)
    expect(fit.tokens + test.tokens).toBe(valuation.data.tokens)
  })

  it('and a learned lambda makes up for what the flipped one takes back', () => {
    const { lambda, fit, test, weights } = valuation.learned[1]!
    expect(lambda).toBeGreaterThan(1)
    expect(fit.after).toBeLessThan(fit.before)
    expect(test.after).toBeLessThan(test.before)
    for (const weight of Object.values(weights)) expect(weight).toBeCloseTo(1 / 7, 12)
  })
})

describe('a coalition', () => {
  it('has the loss of the exact sum of its members, its weights renormalised', async () => {
    const weights = [0.4, 0.3, 0.2, 0.1]
    const members = trained.honest.filter((_, i) => i !== 1)
    const aggregator = await openAggregator(trained.plan)
    for (const update of members) await aggregator.add(update)
    const { adapter } = await aggregator.finish({ method: 'stack', weights: { north: 0.4, south: 0.2, west: 0.1 } })
    const { loss } = await evaluate(trained.tiny.base, trained.text, { adapter, threads: 1 })
    expect(coefficientsOf('1011', weights)).toEqual([0.4, 0, 0.2, 0.1].map((w) => w / (0.4 + 0.2 + 0.1)))
    using mixture = openMixture(trained.tiny.base, trained.start, trained.honest, { ...size, training: false })
    mixture.set(coefficientsOf('1011', weights))
    const { losses, tokens } = await mixture.session.evaluate(toBatch(trained.text.examples))
    const sum = losses.reduce((a, b) => a + b, 0) / tokens.reduce((a, b) => a + b, 0)
    expect(Math.abs(sum - loss) / loss).toBeLessThan(1e-6)
  })

  it('of nobody is the base, also where its members weigh nothing', async () => {
    expect(coefficientsOf('0000', [0.5, 0, 0.5, 0])).toEqual([0, 0, 0, 0])
    expect(coefficientsOf('0101', [0.5, 0, 0.5, 0])).toEqual([0, 0, 0, 0])
    const valuation = await trained.value(trained.honest)
    expect(valuation.baseLoss).toBeCloseTo((await evaluate(trained.tiny.base, trained.text, {})).loss, 6)
  })

  it("weighs its members by the plan's table", async () => {
    const weights = { north: 7, east: 1, south: 1, west: 1 }
    const table = await trained.tiny.planOf({ epochs: 3, weights })
    const updates: Update[] = []
    for (const client of names)
      updates.push(await train(trained.tiny.base, trained.tiny.clients[client]!, table, { client }))
    const valuation = await valueClients(
      trained.tiny.base,
      table,
      startOfRound(table, 1, undefined),
      updates,
      trained.text,
    )
    expect(of(valuation, 'north').weight).toBeCloseTo(0.7, 12)
    const aggregator = await openAggregator(table)
    for (const update of updates) await aggregator.add(update)
    const { adapter } = await aggregator.finish({ method: 'stack' })
    expect(valuation.loss).toBeCloseTo((await evaluate(trained.tiny.base, trained.text, { adapter })).loss, 6)
  })

  it('does not depend on the order of the updates or the threads', async () => {
    const one = await trained.value(trained.honest, { threads: 1 })
    expect(await trained.value([...trained.honest].reverse(), { threads: 2 })).toEqual(one)
  })
})

describe('sampled orders', () => {
  it('give values about the exact ones, which sum to the same', async () => {
    const exact = await trained.value(trained.honest)
    const sampled = await trained.value(trained.honest, { samples: 9 })
    expect(sampled).toMatchObject({ method: 'sampled', samples: 10 })
    expect(sampled.evaluations).toBeLessThanOrEqual(exact.evaluations)
    expect(valueSum(sampled)).toBeCloseTo(valueSum(exact), 10)
    for (const { client, samplingInterval, interval, shapley } of sampled.clients) {
      const [low, high] = samplingInterval!
      const own = of(exact, client)
      // Four clients, nine orders: wide, and wider together with the text.
      expect(Math.abs(own.shapley - shapley)).toBeLessThan(2 * (high - shapley))
      expect(interval![0]).toBeLessThan(low)
      expect(own.samplingInterval).toBeUndefined()
      expect(own.leaveOneOut).toBe(of(sampled, client).leaveOneOut)
      // The same coalitions and texts, whatever orders were drawn beside them.
      expect(own.leaveOneOutInterval).toEqual(of(sampled, client).leaveOneOutInterval)
    }
    expect(await trained.value(trained.honest, { samples: 9 })).toEqual(sampled)
  })
})
