/** Adapters that were trained elsewhere, as updates of a plan. */
import { describe, expect, it } from 'vitest'
import { type AdapterLayer, makeAdapter } from '../../../src/adapter/adapter.js'
import { adopt } from '../../../src/update/adopt.js'
import { checkUpdate } from '../../../src/update/checks.js'
import { parseUpdate, serializeUpdate } from '../../../src/update/update.js'
import { plan } from './fixture.js'

const o = { client: 'a', examples: 12 }
function trained(change: (layer: AdapterLayer, index: number) => Partial<AdapterLayer> = () => ({})) {
  const layers = plan.layers.map((layer, index): AdapterLayer => {
    const a = Float32Array.from({ length: layer.rank * layer.in }, (_, i) => Math.sin(i + index))
    const b = Float32Array.from({ length: layer.out * layer.rank }, (_, i) => Math.cos(i + index) / 64)
    const one = { ...layer, a, b }
    return { ...one, ...change(one, index) }
  })
  return makeAdapter(layers)
}

describe('adopting', () => {
  it('makes a valid update of the plan, with what the plan shares', async () => {
    const update = await adopt(plan, trained(), o)
    const back = parseUpdate(serializeUpdate(update), plan)
    expect(back.info).toEqual(update.info)
    expect(update.info.examples).toBe(12)
    expect(() => checkUpdate(plan, back, { round: 1, startSha256: update.info.startSha256 })).not.toThrow()
    expect(back.adapter.layers.map(({ b }) => b)).toEqual(trained().layers.map(({ b }) => b))
  })

  it('folds another scale into B where that is exact, and refuses to round', async () => {
    const twice = await adopt(
      plan,
      trained((layer) => ({ scale: 2 * layer.scale })),
      o,
    )
    expect(twice.adapter.layers[0]?.b).toEqual(trained().layers[0]?.b.map((value) => 2 * value))
    expect(twice.adapter.layers[0]?.scale).toBe(plan.layers[0]?.scale)
    const third = trained((layer) => ({ scale: layer.scale / 3 }))
    await expect(adopt(plan, third, o)).rejects.toMatchObject({
      code: 'REFUSED',
      message: expect.stringContaining(plan.layers[0]?.name ?? ''),
    })
  })

  it('refuses other layers, ranks and kinds by name', async () => {
    const renamed = trained((_, index) => (index === 0 ? { name: 'm.other' } : {}))
    await expect(adopt(plan, renamed, o)).rejects.toMatchObject({ code: 'MISMATCH', found: 'm.other' })
    const fewer = makeAdapter(trained().layers.slice(1))
    await expect(adopt(plan, fewer, o)).rejects.toMatchObject({ code: 'MISMATCH', expected: plan.layers[0]?.name })
    const wider = trained((layer, index) =>
      index === 0
        ? {
            rank: layer.rank + 1,
            a: new Float32Array((layer.rank + 1) * layer.in),
            b: new Float32Array(layer.out * (layer.rank + 1)),
          }
        : {},
    )
    await expect(adopt(plan, wider, o)).rejects.toMatchObject({ code: 'MISMATCH' })
    const dense = makeAdapter(trained().layers, [{ name: 'm.w', shape: [2], values: Float32Array.of(1, 2) }])
    await expect(adopt(plan, dense, o)).rejects.toMatchObject({ code: 'MISMATCH', found: 'm.w' })
  })

  it('keeps the rules of updates: NaN and all-zero B are refused', async () => {
    const zero = trained((layer) => ({ b: new Float32Array(layer.b.length) }))
    await expect(adopt(plan, zero, o)).rejects.toMatchObject({ code: 'REFUSED' })
    const nan = trained((layer) => ({ b: layer.b.map(() => Number.NaN) }))
    await expect(adopt(plan, nan, o)).rejects.toMatchObject({ code: 'REFUSED' })
  })
})
