/** Methods that weigh by what clients measured: Fisher information and inputs. */
import { describe, expect, test } from 'vitest'
import type { ClientStatistics } from '../../../src/aggregate/statistics.js'
import { dense, distance, normals } from './dense.js'
import { bySum, denseLayer, expectResult, full, layers, names, run, shares, updates } from './five-clients.js'
import { weightedSum } from './references.js'

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
