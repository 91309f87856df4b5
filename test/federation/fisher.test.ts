import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeAdapter } from '../../src/adapter/adapter.js'
import { LossEvaluator } from '../../src/evaluate/loss.js'
import { type FisherStatistic, measureFisher, openAggregator } from '../../src/index.js'
import type { Update } from '../../src/update/update.js'
import { type TinyFederation, tinyFederation, trainedWith } from './tiny.js'

let tiny: TinyFederation
let updates: Update[]
let statistics: Record<string, FisherStatistic>
beforeAll(async () => {
  tiny = await tinyFederation({ dropout: 0.1 })
  const each = await trainedWith(tiny, (client, update) =>
    measureFisher(tiny.base, tiny.clients[client]!, tiny.plan, update),
  )
  updates = each.updates
  statistics = each.measured
})
afterAll(() => tiny[Symbol.asyncDispose]())

/** Mean over examples of the squared slope of their summed loss along one number of B, by central differences. */
async function bySlopes(update: Update, client: string, at: number): Promise<number> {
  const { examples } = tiny.clients[client]!.heldOut(tiny.plan.data.heldOut).train
  const step = 1e-2
  const slopes = examples.map(() => 0)
  for (const side of [1, -1]) {
    const layers = update.adapter.layers.map((layer, i) => {
      const b = layer.b.slice()
      if (i === 0) b[at]! += side * step
      return { ...layer, b }
    })
    for (const [i, example] of examples.entries()) {
      using evaluator = new LossEvaluator(tiny.base, makeAdapter(layers), [example], {})
      slopes[i]! += (side * (await evaluator.sum([example], undefined)).sum) / (2 * step)
    }
  }
  return slopes.reduce((sum, slope) => sum + slope * slope, 0) / slopes.length
}

test('is the mean squared slope of an example, as differences of losses have it, without dropout', async () => {
  const [update] = updates
  const { client } = update!.info
  const layer = tiny.plan.layers[0]!
  for (const at of [0, 7]) {
    const told = statistics[client]![layer.name]!.fisherB[at]!
    expect(told).toBeGreaterThan(0)
    expect(told / (await bySlopes(update!, client, at))).toBeCloseTo(1, 1)
  }
})

test('weighs updates: a client whose loss does not move counts little', async () => {
  const sum = await openAggregator(tiny.plan)
  for (const update of updates) await sum.add(update)
  const quiet = Object.fromEntries(
    Object.entries(statistics).map(([client, layers], i) => [
      client,
      i === 0 ? layers : Object.fromEntries(Object.entries(layers).map(([name, f]) => [name, scaledBy(f, 1e-9)])),
    ]),
  )
  const { adapter } = await sum.finish({ method: 'fisher', statistics: quiet })
  const first = updates.find(({ info }) => info.client === Object.keys(statistics)[0])!
  for (const [i, layer] of adapter.layers.entries())
    for (const [j, value] of layer.b.entries())
      if (statistics[first.info.client]![layer.name]!.fisherB[j]! > 1e-3)
        expect(value).toBeCloseTo(first.adapter.layers[i]!.b[j]!, 4)
})

function scaledBy({ fisherA, fisherB }: FisherStatistic[string], factor: number) {
  return { fisherA: fisherA.map((value) => value * factor), fisherB: fisherB.map((value) => value * factor) }
}

test('is refused where it has no meaning, or nothing to look at', async () => {
  const ffa = await tiny.planOf({ trainable: 'ffa', dropout: 0 })
  const data = Object.values(tiny.clients)[0]!
  await expect(measureFisher(tiny.base, data, ffa, updates[0]!)).rejects.toThrow(
    expect.objectContaining({ code: 'UNSUPPORTED' }),
  )
})
