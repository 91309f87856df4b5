/** Every method against a dense reference in double. */
import { describe, expect, test } from 'vitest'
import { makeAdapter } from '../../../src/adapter/adapter.js'
import { native } from '../../../src/native/load.js'
import { dense, distance, norm, updateOf } from './dense.js'
import {
  bySum,
  denseLayer,
  expectResult,
  full,
  layers,
  names,
  plan,
  run,
  shares,
  updates,
  whole,
} from './five-clients.js'
import { distanceSum, elementwise, krumOrder, median, ties, trimmedMean, weightedSum } from './references.js'

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
