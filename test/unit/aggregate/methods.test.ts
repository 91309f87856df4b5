import { describe, expect, test } from 'vitest'
import { feditLayer } from '../../../src/aggregate/fedit.js'
import type { LayerSum } from '../../../src/aggregate/method.js'
import { stackLayer } from '../../../src/aggregate/stack.js'
import { svdLayer } from '../../../src/aggregate/svd.js'
import { resolveWeights } from '../../../src/aggregate/weights.js'
import type { UpdateInfo } from '../../../src/update/update.js'
import { addProduct, dense, distance, randomLayer } from './dense.js'

/** One layer at clients with these ranks, equal weights, scale 8 / rank. */
function sumOf(inDim: number, outDim: number, ranks: number[]): LayerSum & { exact: Float64Array } {
  const exact = new Float64Array(inDim * outDim)
  const parts = ranks.map((rank, i) => {
    const layer = randomLayer({ name: 'up', in: inDim, out: outDim, rank, scale: 8 / rank }, 50 + 10 * i)
    addProduct(exact, layer, 1 / ranks.length)
    return { client: `c${i}`, weight: 1 / ranks.length, rank, scale: layer.scale, a: layer.a, b: layer.b }
  })
  return { name: 'up', in: inDim, out: outDim, rank: ranks[0] ?? 1, parts, overlay: [], exact }
}

describe('mixed ranks', () => {
  test.each([
    ['stack', stackLayer],
    ['svd', svdLayer],
  ] as const)('%s takes them', async (_, method) => {
    const sum = sumOf(19, 31, [2, 7, 4])
    const { layer } = await method(sum, { rank: 13 })
    expect(layer.rank).toBe(13)
    expect(distance(dense(layer), sum.exact)).toBeLessThan(1e-6)
  })

  test('fedit refuses them and names the layer and both clients', async () => {
    await expect(feditLayer(sumOf(19, 31, [2, 7]), { rank: 'auto' })).rejects.toThrow(
      expect.objectContaining({
        code: 'REFUSED',
        message: expect.stringContaining("'up'"),
        found: expect.stringMatching(/c0.*rank 2.*c1.*rank 7/),
      }),
    )
  })
})

describe('more ranks than the layer has', () => {
  test.each([
    [6, 11],
    [11, 6],
    [1, 5],
    [8, 8],
  ])('in %i, out %i', async (inDim, outDim) => {
    const sum = sumOf(inDim, outDim, [4, 4, 4, 4])
    const { layer, lost } = await svdLayer(sum, { rank: 100 })
    expect(layer.rank).toBe(Math.min(inDim, outDim))
    expect(distance(dense(layer), sum.exact)).toBeLessThan(1e-6)
    expect(lost).toBe(0)
  })
})

test('directions come in descending order, balanced, with a fixed sign', async () => {
  const { layer } = await svdLayer(sumOf(17, 29, [3, 3, 3]), { rank: 9 })
  let before = Infinity
  for (let k = 0; k < layer.rank; k++) {
    const row = layer.a.subarray(k * layer.in, (k + 1) * layer.in)
    const column = Float32Array.from({ length: layer.out }, (_, o) => layer.b[o * layer.rank + k]!)
    const sizes = [Math.hypot(...row), Math.hypot(...column)] as const
    expect(sizes[0]).toBeCloseTo(sizes[1], 6)
    expect(sizes[0]).toBeLessThanOrEqual(before)
    before = sizes[0]
    expect(column.reduce((best, x) => (Math.abs(x) > Math.abs(best) ? x : best), 0)).toBeGreaterThan(0)
  }
})

test('a sum of zero has rank 0 and no error', async () => {
  const sum = sumOf(9, 9, [2])
  sum.parts[0]!.b.fill(0)
  const { layer, lost, norm } = await svdLayer(sum, { rank: 'auto' })
  expect([layer.rank, layer.a.length, layer.b.length, lost, norm]).toEqual([0, 0, 0, 0, 0])
})

describe('weights', () => {
  const info = (client: string, more: Partial<UpdateInfo> = {}): UpdateInfo => ({
    client,
    planSha256: '',
    round: 1,
    startSha256: '',
    ...more,
  })

  test('by examples, tokens, uniform and given', () => {
    const infos = [info('a', { examples: 1, tokens: 30 }), info('b', { examples: 3, tokens: 10 })]
    expect(resolveWeights('examples', infos)).toEqual({ a: 0.25, b: 0.75 })
    expect(resolveWeights('tokens', infos)).toEqual({ a: 0.75, b: 0.25 })
    expect(resolveWeights('uniform', infos)).toEqual({ a: 0.5, b: 0.5 })
    expect(resolveWeights({ a: 8, b: 2, absent: 5 }, infos)).toEqual({ a: 0.8, b: 0.2 })
  })

  test('a missing count is refused with what to do', () => {
    expect(() => resolveWeights('examples', [info('a', { examples: 2 }), info('quiet', { tokens: 5 })])).toThrow(
      expect.objectContaining({
        code: 'REFUSED',
        message: expect.stringContaining('quiet'),
        fix: expect.stringMatching(/share.*uniform/),
      }),
    )
  })

  test.each([[{ b: 1 }], [{ a: -1 }], [{ a: Number.NaN }], [{ a: 0 }], [{ a: Number.POSITIVE_INFINITY }]])(
    '%o is refused',
    (weights: Record<string, number>) => {
      expect(() => resolveWeights(weights, [info('a')])).toThrow(expect.objectContaining({ code: 'ARGUMENT' }))
    },
  )
})
