/** What the table says of every method, ranks, and options that make no sense. */
import { beforeAll, describe, expect, test } from 'vitest'
import type { Adapter } from '../../../src/adapter/adapter.js'
import { type Aggregate, type FinishOptions, openAggregator } from '../../../src/aggregate/aggregator.js'
import { type AggregateMethod, methodTable } from '../../../src/aggregate/table.js'
import { METHODS as all } from '../../../src/update/plan-schema.js'
import { addProduct, dense, distance, normals, updateOf } from './dense.js'
import { denseLayer, full, layers, names, plan, run, shares, updates } from './five-clients.js'
import { weightedSum } from './references.js'

/** fedavg is of whole tensors, ffa and fed-sb of factors that clients share: they are tested with these. */
const METHODS = all.filter((name) => !['fedavg', 'ffa', 'fed-sb'].includes(name))

describe('what the table says', () => {
  const results = new Map<AggregateMethod, Aggregate>()
  const able = METHODS.filter((name) => name !== 'ties' && name !== 'knots' && name !== 'dare')
  beforeAll(async () => {
    for (const method of METHODS) results.set(method, await run(updates, { method }))
  })

  test('exact methods are exact and the others are not', () => {
    for (const method of METHODS) {
      const { relativeError } = results.get(method)!
      if (methodTable[method].exact) expect(relativeError, method).toBeLessThan(1e-6)
      else expect(relativeError, method).toBeGreaterThan(1e-3)
    }
  })

  test.each(able)('%s of equal clients is their adapter, and of one client too where it takes one', async (method) => {
    const same = (adapter: Adapter, tolerance: number) =>
      layers.forEach((_, i) => {
        expect(distance(dense(adapter.layers[i]!), denseLayer(i)[3]!)).toBeLessThan(tolerance)
      })
    const equal = names.map((name) => updateOf(plan, name, updates[3]!.adapter))
    same((await run(equal, { method })).adapter, 2e-6)
    if (!method.includes('krum')) same((await run([updates[3]!], { method })).adapter, 2e-6)
  })

  test.each(METHODS)('%s: order and threads change no bit', async (method) => {
    const aggregator = await openAggregator(plan, undefined, { threads: 3 })
    for (const update of [...updates].reverse()) await aggregator.add(update)
    const again = await aggregator.finish({ method })
    expect(again.adapter.layers).toEqual(results.get(method)!.adapter.layers)
    expect(again.relativeError).toBe(results.get(method)!.relativeError)
  })

  test.each(METHODS)('%s keeps an overlay', async (method) => {
    const overlay = [{ layer: layers[0]!.name, rank: 2, a: normals(7, 80, 0.3), b: normals(8, 62, 0.3) }]
    const aggregator = await openAggregator(plan, undefined, { overlay })
    for (const update of updates) await aggregator.add(update)
    const options = { method, ...(methodTable[method].takesRank ? { rank: full } : {}), drop: 0, density: 1 }
    const result = dense((await aggregator.finish(options)).adapter.layers[0]!)
    const without = dense((await run(updates, options)).adapter.layers[0]!)
    const expected = addProduct(without, { ...layers[0]!, ...overlay[0]!, scale: 1 }, 1)
    expect(distance(result, expected)).toBeLessThan(2e-6)
  })
})

describe('rank rules', () => {
  test('by energy and by layer', async () => {
    const exact = layers.map((_, i) => weightedSum(denseLayer(i), shares))
    const byEnergy = await run(updates, { method: 'svd', rank: { energy: 0.9 } })
    byEnergy.layers.forEach((layer, i) => {
      const error = distance(dense(byEnergy.adapter.layers[i]!), exact[i]!)
      expect(error ** 2).toBeLessThanOrEqual(0.1)
      expect(layer.rank).toBeGreaterThan(1)
      expect(layer.relativeError).toBeCloseTo(error, 6)
    })
    const less = await run(updates, { method: 'svd', rank: byEnergy.layers[0]!.rank - 1 })
    expect(less.layers[0]!.relativeError ** 2).toBeGreaterThan(0.1)
    const byLayer = await run(updates, { method: 'svd', rank: { layers: { [layers[0]!.name]: 3 } } })
    expect(byLayer.layers.map((layer) => layer.rank)).toEqual([3, 8])
  })

  test.each([{ energy: 0 }, { energy: 2 }, { layers: { nowhere: 2 } }, { layers: { [layers[0]!.name]: 0 } }, 0, 1.5])(
    '%o is refused',
    async (rank) => {
      await expect(run(updates, { rank: rank as number })).rejects.toThrow(
        expect.objectContaining({ code: 'ARGUMENT' }),
      )
    },
  )
})

describe('options that make no sense', () => {
  test.each<FinishOptions>([
    { method: 'ties', density: 0 },
    { method: 'ties', density: 1.5 },
    { method: 'dare', drop: 1 },
    { method: 'dare', drop: Number.NaN },
    { method: 'trimmed-mean', trim: 0.5 },
    { method: 'krum', byzantine: 2 },
    { method: 'norm-clipping', clip: 0 },
    { method: 'knots', density: -1 },
  ])('%o', async (options) => {
    await expect(run(updates, options)).rejects.toThrow(
      expect.objectContaining({ code: 'ARGUMENT', fix: expect.any(String) }),
    )
  })
})
