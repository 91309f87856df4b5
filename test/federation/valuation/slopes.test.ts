/** Slopes of the held-out loss along each client, against central differences. */
import { describe, expect, it } from 'vitest'
import { makeAdapter } from '../../../src/adapter/adapter.js'
import { openAggregator } from '../../../src/aggregate/aggregator.js'
import { toBatch } from '../../../src/data/batches.js'
import { type Dataset, makeDataset } from '../../../src/data/dataset.js'
import { evaluate } from '../../../src/evaluate/evaluate.js'
import { openModel } from '../../../src/model/open.js'
import { type Start, startOfRound } from '../../../src/train/start.js'
import { train } from '../../../src/train/train.js'
import { createPlan } from '../../../src/update/create-plan.js'
import type { Plan } from '../../../src/update/plan.js'
import { makeUpdate, type Update } from '../../../src/update/update.js'
import { openMixture } from '../../../src/valuation/mixture.js'
import { valueClients } from '../../../src/valuation/value-clients.js'
import { sharedFile, skipReason } from '../../golden/shared-files.js'
import { settings } from '../tiny.js'
import { names, trainedClients, valueSum } from './trained-clients.js'

const trained = trainedClients()
const size = { threads: 1, rowsPerPass: 256, longestExample: 64 }

/** Slopes against central differences of the same loss. */
async function expectSlopes(
  of: Plan,
  from: Start,
  updates: Update[],
  data: Dataset,
  base = trained.tiny.base,
): Promise<void> {
  using mixture = openMixture(base, from, updates, { ...size, training: true })
  const at = [0.5, 0.2, 0.1, 0.4].slice(0, updates.length)
  const loss = async (coefficients: number[]) => {
    mixture.set(coefficients)
    const { losses, tokens } = await mixture.session.evaluate(toBatch(data.examples))
    return losses.reduce((a, b) => a + b, 0) / tokens.reduce((a, b) => a + b, 0)
  }
  mixture.set(at)
  const { gradient } = await mixture.session.gradient(toBatch(data.examples), of.train.seed)
  const slopes = mixture.slopes(gradient)
  expect(slopes).toHaveLength(updates.length)
  for (const [i, slope] of slopes.entries()) {
    const step = 0.02
    const up = await loss(at.map((c, k) => (k === i ? c + step : c)))
    const down = await loss(at.map((c, k) => (k === i ? c - step : c)))
    expect(Math.abs(slope - (up - down) / (2 * step))).toBeLessThan(2e-3 * Math.max(...slopes.map(Math.abs)))
  }
}

describe('the slope of the loss along a client', () => {
  it('is that of the loss itself, with factors', () =>
    expectSlopes(trained.plan, trained.start, trained.honest, trained.text))

  it('in a later round, whose start counts what the clients do not', async () => {
    const two = await trained.tiny.planOf({ rounds: 2, epochs: 1, clients: [], weights: 'uniform' })
    const first = startOfRound(two, 1, undefined)
    const aggregator = await openAggregator(two)
    for (const client of names)
      await aggregator.add(await train(trained.tiny.base, trained.tiny.clients[client]!, two, { client }))
    // Served and not exact: any adapter of the plan's layers may start a round.
    const { adapter } = await aggregator.finish({ method: 'stack' })
    const second = startOfRound(two, 2, adapter)
    expect(first.round).toBe(1)
    const updates: Update[] = []
    for (const client of names)
      updates.push(
        await train(trained.tiny.base, trained.tiny.clients[client]!, two, { client, round: 2, start: adapter }),
      )
    await expectSlopes(two, second, updates, trained.text)
    const valuation = await valueClients(trained.tiny.base, two, second, updates, trained.text)
    expect(valuation.baseLoss).toBeCloseTo((await evaluate(trained.tiny.base, trained.text, { adapter })).loss, 6)
    expect(valuation.round).toBe(2)
    expect(valueSum(valuation)).toBeCloseTo(valuation.baseLoss - valuation.loss, 10)
  })

  it('with whole tensors', async () => {
    const { targets: _, rank: __, alpha: ___, dropout: ____, ...rest } = settings
    const full = await createPlan(trained.tiny.base, {
      ...rest,
      trainable: 'full',
      learningRate: 3e-3,
      weights: 'uniform',
    })
    const from = startOfRound(full, 1, undefined)
    const updates: Update[] = []
    for (const client of names)
      updates.push(await train(trained.tiny.base, trained.tiny.clients[client]!, full, { client }))
    await expectSlopes(full, from, updates, trained.text)
    const negative = makeUpdate(
      { ...updates[0]!.info, client: 'flip' },
      makeAdapter(
        [],
        updates[0]!.adapter.dense.map((delta) => ({ ...delta, values: delta.values.map((x) => -x) })),
      ),
    )
    const valuation = await valueClients(trained.tiny.base, full, from, [...updates.slice(1), negative], trained.text)
    expect(valuation.findings.filter(({ rule }) => rule === 'harms').map(({ clients }) => clients)).toEqual([['flip']])
    expect(valueSum(valuation)).toBeCloseTo(valuation.baseLoss - valuation.loss, 10)
  })

  const gpt2 = 'golden/tiny/gpt2/model'
  it.skipIf(skipReason(gpt2) !== undefined)('of a base whose matrices lie the other way round', async () => {
    await using base = await openModel(sharedFile(gpt2)!)
    const vocabulary = Math.min(base.spec.shape.vocabulary, 200)
    const examples = Array.from({ length: 6 }, (_, id) => {
      const ids = Int32Array.from({ length: 12 }, (__, t) => (id * 31 + t * t * 7) % vocabulary)
      return { id, ids, labels: Int32Array.from(ids, (___, t) => ids[t + 1] ?? -100), characters: 12 }
    })
    const data = makeDataset(examples)
    const full = await createPlan(base, {
      trainable: 'full',
      epochs: 2,
      batch: 2,
      learningRate: 1e-2,
      weights: 'uniform',
      heldOut: 0,
      share: [],
    })
    const updates: Update[] = []
    for (const [i, client] of ['a', 'b'].entries())
      updates.push(await train(base, makeDataset(examples.slice(i * 3, i * 3 + 3)), full, { client }))
    await expectSlopes(full, startOfRound(full, 1, undefined), updates, data, base)
  })
})
