import { describe, expect, test } from 'vitest'
import { type Adapter, makeAdapter } from '../../../src/adapter/adapter.js'
import { type FinishOptions, openAggregator } from '../../../src/aggregate/aggregator.js'
import { exactAggregate } from '../../../src/aggregate/exact.js'
import type { Plan } from '../../../src/update/plan.js'
import type { Update } from '../../../src/update/update.js'
import { addProduct, dense, distance, norm, normals, randomUpdate, tinyPlan, updateOf } from './dense.js'

const layers = [
  { name: 'model.layers.0.self_attn.q_proj', in: 20, out: 24, rank: 4, scale: 2 },
  { name: 'model.layers.0.mlp.down_proj', in: 33, out: 20, rank: 4, scale: 2 },
]
const plan = tinyPlan(layers)
const updates = ['ann', 'bob', 'cyd'].map((client, i) => randomUpdate(plan, client, i + 1, { examples: i + 1 }))

async function run(list: Update[], options: FinishOptions = {}, of: Plan = plan, threads = 1) {
  const aggregator = await openAggregator(of, undefined, { threads })
  for (const update of list) await aggregator.add(update)
  return aggregator.finish(options)
}

/** The dense weighted sum of layer `index`. */
function merged(list: Update[], weights: Record<string, number>, index: number): Float64Array {
  const layer = layers[index]!
  const sum = new Float64Array(layer.in * layer.out)
  for (const update of list) addProduct(sum, update.adapter.layers[index]!, weights[update.info.client]!)
  return sum
}

function expectSame(x: Adapter, y: Adapter, tolerance: number): void {
  expect(x.layers.length).toBe(y.layers.length)
  x.layers.forEach((layer, i) => {
    expect(distance(dense(layer), dense(y.layers[i]!))).toBeLessThan(tolerance)
  })
}

describe('identities', () => {
  test.each(['svd', 'stack', 'fedit'] as const)('%s of one client is its adapter', async (method) => {
    const result = await run([updates[0]!], { method })
    expectSame(result.adapter, updates[0]!.adapter, 1e-6)
    expect(result.relativeError).toBeLessThan(1e-7)
    expect(result.weights).toEqual({ ann: 1 })
  })

  test.each(['svd', 'stack', 'fedit'] as const)('%s of equal clients is their adapter', async (method) => {
    const equal = ['a', 'b', 'c', 'd', 'e'].map((name) => updateOf(plan, name, updates[1]!.adapter))
    const result = await run(equal, { method })
    expectSame(result.adapter, updates[1]!.adapter, 1e-6)
    expect(result.relativeError).toBeLessThan(1e-7)
    if (method === 'svd') expect(result.layers.map((layer) => layer.rank)).toEqual([4, 4])
  })

  test.each(['svd', 'stack', 'fedit'] as const)('%s: order, grouping and threads change no bit', async (method) => {
    const [ann, bob, cyd] = updates as [Update, Update, Update]
    const first = await run([ann, bob, cyd], { method })
    const aggregator = await openAggregator(plan, undefined, { threads: 4 })
    await aggregator.add(cyd)
    await aggregator.finish({ method })
    await aggregator.add(ann)
    await aggregator.remove('cyd')
    await Promise.all([aggregator.add(cyd), aggregator.add(bob)])
    const second = await aggregator.finish({ method })
    expect(second.adapter.layers).toEqual(first.adapter.layers)
    expect(second.relativeError).toBe(first.relativeError)
  })

  test('stack and svd of full rank are the dense merge; so is the exact aggregate with its overlay', async () => {
    const stack = await run(updates, { method: 'stack' })
    const svd = await run(updates, { method: 'svd', rank: 12 })
    const overlay = [{ layer: layers[0]!.name, rank: 3, a: normals(7, 60, 0.1), b: normals(8, 72, 0.1) }]
    const exact = await exactAggregate(plan, updates, overlay)
    layers.forEach((layer, i) => {
      const sum = merged(updates, { ann: 1 / 6, bob: 2 / 6, cyd: 3 / 6 }, i)
      expect(distance(dense(stack.adapter.layers[i]!), sum)).toBeLessThan(1e-6)
      expect(distance(dense(svd.adapter.layers[i]!), sum)).toBeLessThan(1e-6)
      if (i === 0) addProduct(sum, { ...layer, ...overlay[0]!, scale: 1 }, 1)
      const whole = dense(exact.layers[i]!)
      const rest = exact.dense.find(({ name }) => name === `${layer.name}.weight`)
      rest?.values.forEach((value, at) => {
        whole[at]! += value
      })
      expect(distance(whole, sum)).toBeLessThan(1e-6)
    })
    expect(exact.layers.map((layer) => [layer.rank, layer.scale])).toEqual([
      // The plan's rank is 4 and the sum's is 15: the 11 others are more numbers than the matrix they make.
      [4, 1],
      [12, 1],
    ])
    expect(exact.dense.map(({ name, shape }) => [name, shape])).toEqual([
      [`${layers[0]!.name}.weight`, [layers[0]!.out, layers[0]!.in]],
    ])
    expect(stack.relativeError).toBe(0)
  })
})

describe('errors told are the errors made', () => {
  test('svd cut at a rank', async () => {
    const result = await run(updates, { method: 'svd', rank: 5 })
    let lost = 0
    let whole = 0
    layers.forEach((_, i) => {
      const sum = merged(updates, result.weights, i)
      const error = distance(dense(result.adapter.layers[i]!), sum)
      expect(result.layers[i]!.rank).toBe(5)
      expect(result.layers[i]!.relativeError).toBeCloseTo(error, 6)
      expect(error).toBeGreaterThan(0.1)
      lost += (error * norm(sum)) ** 2
      whole += norm(sum) ** 2
    })
    expect(result.relativeError).toBeCloseTo(Math.sqrt(lost / whole), 6)
  })

  test('rank auto ends at twice the plan rank and at 1e-3', async () => {
    const result = await run(updates)
    expect(result.layers.map((layer) => layer.rank)).toEqual([8, 8])
    const faint = updateOf(
      plan,
      'faint',
      makeAdapter(updates[1]!.adapter.layers.map((layer) => ({ ...layer, b: layer.b.map((x) => x * 1e-5) }))),
    )
    const near = await run([updates[0]!, faint])
    expect(near.layers.map((layer) => layer.rank)).toEqual([4, 4])
    expect(near.relativeError).toBeGreaterThan(0)
    expect(near.relativeError).toBeLessThan(1e-3)
  })

  test('fedit is off by sum p_i s (B_i - mean B)(A_i - mean A)', async () => {
    const result = await run(updates, { method: 'fedit' })
    layers.forEach((layer, i) => {
      const mean = result.adapter.layers[i]!
      const formula = new Float64Array(layer.in * layer.out)
      for (const update of updates) {
        const { a, b } = update.adapter.layers[i]!
        const off = { ...layer, a: a.map((x, k) => x - mean.a[k]!), b: b.map((x, k) => x - mean.b[k]!) }
        addProduct(formula, off, result.weights[update.info.client]!)
      }
      const sum = merged(updates, result.weights, i)
      expect(result.layers[i]!.relativeError).toBeCloseTo(norm(formula) / norm(sum), 6)
      expect(distance(dense(mean), sum)).toBeCloseTo(norm(formula) / norm(sum), 6)
    })
  })

  test('an overlay is kept by every method', async () => {
    const overlay = [{ layer: layers[1]!.name, rank: 2, a: normals(7, 66, 0.1), b: normals(8, 40, 0.1) }]
    for (const method of ['svd', 'stack', 'fedit'] as const) {
      const aggregator = await openAggregator(plan, undefined, { overlay })
      await aggregator.add(updates[0]!)
      const layer = (await aggregator.finish({ method })).adapter.layers[1]!
      const sum = addProduct(dense(updates[0]!.adapter.layers[1]!), { ...layers[1]!, ...overlay[0]!, scale: 1 }, 1)
      expect(distance(dense(layer), sum)).toBeLessThan(1e-6)
    }
  })
})

test('a client of weight 0 leaves no trace', async () => {
  for (const method of ['svd', 'stack', 'fedit'] as const) {
    const without = await run(updates.slice(0, 2), { method, weights: { ann: 3, bob: 1 } })
    const with0 = await run(updates, { method, weights: { ann: 3, bob: 1, cyd: 0 } })
    expect(with0.adapter.layers).toEqual(without.adapter.layers)
    expect(with0.weights).toEqual({ ann: 0.75, bob: 0.25, cyd: 0 })
  }
})

describe('refusals', () => {
  const refused = (code: string, message: RegExp) =>
    expect.objectContaining({ code, message: expect.stringMatching(message), fix: expect.any(String) })

  test('not a number, a second update, another round, another start', async () => {
    const [ann] = updates as [Update]
    const bad = randomUpdate(plan, 'bad', 9)
    bad.adapter.layers[1]!.a[5] = Number.NaN
    const aggregator = await openAggregator(plan)
    await expect(aggregator.add(bad)).rejects.toThrow(refused('REFUSED', /bad/))
    await expect(exactAggregate(plan, [ann, bad])).rejects.toThrow(refused('NUMERIC', /down_proj.*not finite/))
    await aggregator.add(ann)
    await expect(aggregator.add(ann)).rejects.toThrow(refused('REFUSED', /ann/))
    await expect(aggregator.add(randomUpdate(plan, 'late', 4, { round: 2 }))).rejects.toThrow(
      refused('REFUSED', /round/),
    )
    await expect(aggregator.add(randomUpdate(plan, 'else', 4, { startSha256: 'cd'.repeat(32) }))).rejects.toThrow(
      refused('REFUSED', /start/),
    )
    expect((await aggregator.finish()).weights).toEqual({ ann: 1 })
  })

  test('what is not built, not there or makes no sense', async () => {
    const aggregator = await openAggregator(plan)
    await expect(openAggregator(plan, 'run.state')).rejects.toThrow(refused('NOT_FOUND', /state/))
    await expect(aggregator.finish()).rejects.toThrow(refused('ARGUMENT', /nothing to aggregate/))
    await expect(aggregator.remove('ann')).rejects.toThrow(refused('NOT_FOUND', /ann/))
    await aggregator.add(updates[0]!)
    await expect(aggregator.finish({ method: 'stack', rank: 4 })).rejects.toThrow(refused('ARGUMENT', /stack/))
    await expect(aggregator.finish({ rank: 0 })).rejects.toThrow(refused('ARGUMENT', /rank/))
    await expect(aggregator.finish({ method: 'zzz' as 'svd' })).rejects.toThrow(refused('UNSUPPORTED', /zzz/))
    const overlay = [{ layer: 'nowhere', rank: 1, a: new Float32Array(20), b: new Float32Array(24) }]
    await expect(exactAggregate(plan, updates, overlay)).rejects.toThrow(refused('MISMATCH', /nowhere/))
  })

  test('a stopped signal', async () => {
    await expect(exactAggregate(plan, updates, [], { signal: AbortSignal.abort() })).rejects.toThrow(
      refused('ABORTED', /stopped/),
    )
  })
})
