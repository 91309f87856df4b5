/** Every method of the table against a dense reference in double, and what the table says of it. */
import { beforeAll, describe, expect, test } from 'vitest'
import { type Adapter, makeAdapter } from '../../../src/adapter/adapter.js'
import { type Aggregate, type FinishOptions, openAggregator } from '../../../src/aggregate/aggregator.js'
import type { ClientStatistics } from '../../../src/aggregate/statistics.js'
import { type AggregateMethod, methodTable } from '../../../src/aggregate/table.js'
import { native } from '../../../src/native/load.js'
import { METHODS as all } from '../../../src/update/plan-schema.js'
import type { Update } from '../../../src/update/update.js'
import { addProduct, dense, distance, norm, normals, randomUpdate, tinyPlan, updateOf } from './dense.js'
import { distanceSum, elementwise, krumOrder, median, ties, trimmedMean, weightedSum } from './references.js'

/** fedavg is of whole tensors, ffa and fed-sb of factors that clients share: they are tested with these. */
const METHODS = all.filter((name) => !['fedavg', 'ffa', 'fed-sb'].includes(name))

// 40 x 31: five clients of rank 4 stay factors. 12 x 10: they do not. rsLoRA's scale, GPT-2's names.
const layers = [
  { name: 'transformer.h.0.mlp.c_fc', in: 40, out: 31, rank: 4, scale: 4 },
  { name: 'transformer.h.0.attn.c_proj', in: 12, out: 10, rank: 4, scale: 4 },
]
const plan = tinyPlan(layers, {}, ['examples', 'tokens'], { rsLora: true })
const names = ['ann', 'bob', 'cyd', 'dan', 'eve']
const updates = names.map((client, i) => randomUpdate(plan, client, i + 11, { examples: i + 1 }))
const shares = [1, 2, 3, 4, 5].map((n) => n / 15)
const full = 31

async function run(list: readonly Update[], options: FinishOptions): Promise<Aggregate> {
  const aggregator = await openAggregator(plan)
  for (const update of list) await aggregator.add(update)
  return aggregator.finish(options)
}

const denseLayer = (index: number, list: readonly Update[] = updates) =>
  list.map((update) => dense(update.adapter.layers[index]!))

/** All layers one behind another: what krum and others see as one update. */
function whole(list: readonly Update[] = updates): Float64Array[] {
  return list.map((_, i) => Float64Array.from(layers.flatMap((__, l) => [...denseLayer(l, list)[i]!])))
}

/** The result's layers are the references; the errors told are those of the references against the exact sum. */
function expectResult(result: Aggregate, references: readonly Float64Array[], tolerance = 3e-7): void {
  let [lost, all] = [0, 0]
  references.forEach((reference, i) => {
    const got = dense(result.adapter.layers[i]!)
    expect(distance(got, reference)).toBeLessThan(tolerance)
    const exact = weightedSum(denseLayer(i), shares)
    const error = distance(reference, exact)
    expect(Math.abs(result.layers[i]!.relativeError - error)).toBeLessThan(1e-6)
    lost += (error * norm(exact)) ** 2
    all += norm(exact) ** 2
  })
  expect(Math.abs(result.relativeError - Math.sqrt(lost / all))).toBeLessThan(1e-6)
}

const bySum = (coefficients: readonly number[]) => layers.map((_, i) => weightedSum(denseLayer(i), coefficients))

describe('against the dense reference', () => {
  test('svd, stack and residual are the sum', async () => {
    expectResult(await run(updates, { method: 'svd', rank: full }), bySum(shares))
    expectResult(await run(updates, { method: 'stack' }), bySum(shares))
    const residual = await run(updates, { method: 'residual' })
    expectResult(residual, bySum(shares))
    // FedEx-LoRA's claim: what is added to the base beside the mean factors makes it exact.
    expect(residual.relativeError).toBeLessThan(1e-6)
    expect(residual.layers[0]!.rank).toBeLessThanOrEqual(20 + 4)
    const fedit = await run(updates, { method: 'fedit' })
    const first = residual.adapter.layers[0]!
    const head = { ...first, rank: 4, a: first.a.slice(0, 4 * 40), b: new Float32Array(31 * 4) }
    for (let o = 0; o < 31; o++) head.b.set(first.b.subarray(o * first.rank, o * first.rank + 4), o * 4)
    expect(distance(dense(head), dense(fedit.adapter.layers[0]!))).toBeLessThan(1e-6)
    expect((await run(updates, { method: 'stack' })).layers.map((layer) => layer.rank)).toEqual([20, 20])
  })

  test('task arithmetic, with lambda of one as the sum and DiLoCo of one round as 1.33', async () => {
    for (const lambda of [1, 1.33, -0.5])
      expectResult(
        await run(updates, { method: 'task-arithmetic', lambda, rank: full }),
        bySum(shares.map((p) => p * lambda)),
      )
  })

  test('cat weighs layer by layer; unnamed layers keep the weights', async () => {
    const layerWeights = { [layers[0]!.name]: { ann: 2, bob: -1, cyd: 0, dan: 0.5, eve: 0.25 } }
    const references = [weightedSum(denseLayer(0), [2, -1, 0, 0.5, 0.25]), weightedSum(denseLayer(1), shares)]
    expectResult(await run(updates, { method: 'cat', layerWeights, rank: full }), references)
  })

  test('median and trimmed mean', async () => {
    const by = (rule: (values: number[]) => number) => layers.map((_, i) => elementwise(denseLayer(i), rule))
    expectResult(await run(updates, { method: 'median', rank: full }), by(median))
    expectResult(await run(updates, { method: 'trimmed-mean', trim: 0.25, rank: full }), by(trimmedMean(1)))
    const mean = by((values) => values.reduce((sum, x) => sum + x, 0) / values.length)
    expectResult(await run(updates, { method: 'trimmed-mean', trim: 0, rank: full }), mean)
  })

  test('median of an even number is the mean of the middle two', async () => {
    const four = updates.slice(0, 4)
    const result = await run(four, { method: 'median', rank: full })
    const reference = elementwise(denseLayer(0, four), median)
    expect(distance(dense(result.adapter.layers[0]!), reference)).toBeLessThan(3e-7)
  })

  test('ties, and ties of everything with lambda', async () => {
    for (const density of [0.2, 0.5, 1])
      expectResult(
        await run(updates, { method: 'ties', density, rank: full }),
        layers.map((_, i) => ties(denseLayer(i), shares, density)),
        2e-6,
      )
    const twice = await run(updates, { method: 'ties', density: 0.5, lambda: 2, rank: full })
    expectResult(
      twice,
      layers.map((_, i) => ties(denseLayer(i), shares, 0.5).map((x) => 2 * x)),
      2e-6,
    )
  })

  test('dare: without drops the sum; with drops each element is dropped or rescaled, alike in any company', async () => {
    expectResult(await run(updates, { method: 'dare', drop: 0, rank: full }), bySum(shares))
    const alone = await run([updates[2]!], { method: 'dare', drop: 0.75, seed: 3, rank: full })
    const own = denseLayer(0)[2]!
    const got = dense(alone.adapter.layers[0]!)
    const scale = norm(own) / Math.sqrt(own.length)
    let dropped = 0
    got.forEach((value, e) => {
      const isDropped = Math.abs(value) < 1e-4 * scale
      dropped += Number(isDropped)
      if (!isDropped) expect(Math.abs(value - 4 * own[e]!)).toBeLessThan(1e-4 * scale + 1e-5 * Math.abs(value))
    })
    expect(Math.abs(dropped / own.length - 0.75)).toBeLessThan(0.05)
    const other = await run([updates[2]!], { method: 'dare', drop: 0.75, seed: 4, rank: full })
    expect(distance(dense(other.adapter.layers[0]!), got)).toBeGreaterThan(0.3)
    // Its draws do not depend on who else is there.
    const weights = { ann: 0, bob: 0, cyd: 1, dan: 0, eve: 0 }
    const among = await run(updates, { method: 'dare', drop: 0.75, seed: 3, rank: full, weights })
    expect(among.adapter.layers).toEqual(alone.adapter.layers)
  })

  test('krum, multi-krum, geometric median and norm clipping', async () => {
    const updatesDense = whole()
    const order = krumOrder(updatesDense, 1)
    const krum = await run(updates, { method: 'krum', byzantine: 1, rank: full })
    expectResult(krum, bySum(names.map((_, i) => Number(i === order[0]))))
    const kept = order.slice(0, 4)
    expectResult(
      await run(updates, { method: 'multi-krum', byzantine: 1, rank: full }),
      bySum(names.map((_, i) => (kept.includes(i) ? 0.25 : 0))),
    )
    const norms = updatesDense.map(norm)
    const clip = median(norms)
    const clipped = await run(updates, { method: 'norm-clipping', rank: full })
    expectResult(clipped, bySum(shares.map((p, i) => p * Math.min(1, clip / norms[i]!))))
    expect(Object.keys(clipped.coefficients!)).toEqual(names)
    const geometric = await run(updates, { method: 'geometric-median', rank: full })
    const c = names.map((name) => geometric.coefficients![name]!)
    expectResult(geometric, bySum(c))
    expect(c.reduce((sum, x) => sum + x, 0)).toBeCloseTo(1, 12)
    const best = distanceSum(updatesDense, shares, weightedSum(updatesDense, c))
    for (let i = 0; i < c.length; i++) {
      for (const step of [1e-2, -1e-2]) {
        const moved = c.map((x, j) => x + (i === j ? step : 0))
        expect(distanceSum(updatesDense, shares, weightedSum(updatesDense, moved))).toBeGreaterThan(best)
      }
    }
  })

  test('knots is TIES on the coordinates in the common basis; of one client it is the client', async () => {
    const one = await run([updates[0]!], { method: 'knots', density: 1, rank: full })
    layers.forEach((_, i) => {
      expect(distance(dense(one.adapter.layers[i]!), denseLayer(i)[0]!)).toBeLessThan(1e-6)
    })
    // Equal updates share one basis and all signs, so the merged one is that update.
    const equal = names.map((name) => updateOf(plan, name, updates[1]!.adapter))
    const same = await run(equal, { method: 'knots', density: 1, rank: full })
    expect(distance(dense(same.adapter.layers[0]!), denseLayer(0)[1]!)).toBeLessThan(1e-6)
    // The same from the dense matrix [dW_1 .. dW_m], whose singular vectors are unique but for signs.
    const { in: inDim, out } = layers[0]!
    const wide = new Float32Array(out * inDim * names.length)
    denseLayer(0).forEach((w, c) => {
      for (let o = 0; o < out; o++) wide.set(w.subarray(o * inDim, (o + 1) * inDim), (o * names.length + c) * inDim)
    })
    const svd = await native().factorizeDense(inDim * names.length, out, wide, 20, 0)
    const root = (k: number) => Math.sqrt(svd.singularValues[k]!)
    const aligned = names.map((_, c) =>
      Float64Array.from({ length: svd.rank * inDim }, (__, e) => {
        const [k, j] = [Math.floor(e / inDim), e % inDim]
        return svd.a[(k * names.length + c) * inDim + j]! / root(k)
      }),
    )
    const merged = Float32Array.from(ties(aligned, shares, 0.5))
    const basis = svd.b.map((value, e) => value * root(e % svd.rank))
    const reference = dense({ in: inDim, out, rank: svd.rank, scale: 1, a: merged, b: basis })
    const trimmed = await run(updates, { method: 'knots', density: 0.5, rank: full })
    expect(svd.rank).toBe(20)
    expect(distance(dense(trimmed.adapter.layers[0]!), reference)).toBeLessThan(1e-4)
    const error = distance(reference, weightedSum(denseLayer(0), shares))
    expect(trimmed.layers[0]!.relativeError).toBeCloseTo(error, 3)
  })
})

describe('weighed by statistics', () => {
  const statistics = (make: (client: number, layer: number) => object): ClientStatistics =>
    Object.fromEntries(
      names.map((name, c) => [name, Object.fromEntries(layers.map((layer, l) => [layer.name, make(c, l)]))]),
    )

  test('fisher of equal statistics is fedit, of one-sided ones the one client', async () => {
    const equal = statistics((_, l) => ({
      fisherA: new Float32Array(4 * layers[l]!.in).fill(2),
      fisherB: new Float32Array(4 * layers[l]!.out).fill(0.5),
    }))
    const fisher = await run(updates, { method: 'fisher', statistics: equal })
    const fedit = await run(updates, { method: 'fedit' })
    layers.forEach((_, i) => {
      expect(distance(dense(fisher.adapter.layers[i]!), dense(fedit.adapter.layers[i]!))).toBeLessThan(1e-6)
    })
    expect(fisher.relativeError).toBeCloseTo(fedit.relativeError, 6)
    const oneSided = statistics((c, l) => ({
      fisherA: new Float32Array(4 * layers[l]!.in).fill(c === 3 ? 1 : 0),
      fisherB: new Float32Array(4 * layers[l]!.out).fill(c === 3 ? 1 : 0),
    }))
    const one = await run(updates, { method: 'fisher', statistics: oneSided })
    expect(distance(dense(one.adapter.layers[0]!), denseLayer(0)[3]!)).toBeLessThan(1e-5)
  })

  test('regmean of equal inputs is the sum; of others it solves the normal equations', async () => {
    const eye = (size: number, at: (i: number) => number) =>
      Float32Array.from({ length: size * size }, (_, k) => (Math.floor(k / size) === k % size ? at(k % size) : 0))
    const equal = statistics((_, l) => ({ inputs: eye(layers[l]!.in, () => 3) }))
    expectResult(await run(updates, { method: 'regmean', statistics: equal, rank: full }), bySum(shares), 1e-6)
    const inputs = names.map((_, c) =>
      layers.map((layer, l) => {
        const rows = normals(100 + 10 * c + l, 60 * layer.in, 1)
        return Float32Array.from({ length: layer.in ** 2 }, (__, k) => {
          const [i, j] = [Math.floor(k / layer.in), k % layer.in]
          let sum = 0
          for (let r = 0; r < 60; r++) sum += rows[r * layer.in + i]! * rows[r * layer.in + j]!
          return sum
        })
      }),
    )
    const result = await run(updates, {
      method: 'regmean',
      statistics: statistics((c, l) => ({ inputs: inputs[c]![l]! })),
      rank: full,
    })
    // dW sum p_i G_i = sum p_i dW_i G_i, with off-diagonals at 0.9.
    layers.forEach((layer, l) => {
      const shrunk = inputs.map((byLayer) =>
        byLayer[l]!.map((g, k) => (Math.floor(k / layer.in) === k % layer.in ? g : 0.9 * g)),
      )
      const times = (w: Float64Array, g: ArrayLike<number>) =>
        w.map((_, k) => {
          const [o, j] = [Math.floor(k / layer.in), k % layer.in]
          let sum = 0
          for (let i = 0; i < layer.in; i++) sum += w[o * layer.in + i]! * g[i * layer.in + j]!
          return sum
        })
      const right = weightedSum(
        denseLayer(l).map((w, c) => times(w, shrunk[c]!)),
        shares,
      )
      const total = weightedSum(
        shrunk.map((g) => Float64Array.from(g)),
        shares,
      )
      expect(distance(times(dense(result.adapter.layers[l]!), total), right)).toBeLessThan(1e-5)
    })
  })

  test('without statistics both are refused by client and layer', async () => {
    for (const method of ['fisher', 'regmean'] as const)
      await expect(run(updates, { method })).rejects.toThrow(
        expect.objectContaining({ code: 'REFUSED', message: expect.stringMatching(/client 'ann'.*c_fc/) }),
      )
  })
})

describe('ffa', () => {
  const shared = updates.map((update, i) =>
    updateOf(
      plan,
      names[i]!,
      makeAdapter(update.adapter.layers.map((layer, l) => ({ ...layer, a: updates[0]!.adapter.layers[l]!.a }))),
      { examples: i + 1 },
    ),
  )
  test('with one A is exact at the plan rank', async () => {
    const result = await run(shared, { method: 'ffa' })
    layers.forEach((_, i) => {
      const exact = weightedSum(denseLayer(i, shared), shares)
      expect(distance(dense(result.adapter.layers[i]!), exact)).toBeLessThan(1e-6)
      expect(result.layers[i]!.rank).toBe(4)
    })
  })
  test('with different A is refused', async () => {
    await expect(run(updates, { method: 'ffa' })).rejects.toThrow(
      expect.objectContaining({ code: 'REFUSED', found: expect.stringMatching(/bob.*ann/) }),
    )
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
