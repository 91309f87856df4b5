import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeAdapter } from '../../../src/adapter/adapter.js'
import { Probe, total } from '../../../src/diagnose/probe.js'
import { LossEvaluator } from '../../../src/evaluate/loss.js'
import { native } from '../../../src/native/load.js'
import { type TinyFederation, tinyFederation } from '../../federation/tiny.js'

let tiny: TinyFederation
beforeAll(async () => {
  tiny = await tinyFederation({ dropout: 0 })
})
afterAll(() => tiny[Symbol.asyncDispose]())

/** An adapter with random factors on every layer of the plan. */
function randomAdapter(seed: number, size: number) {
  return makeAdapter(
    tiny.plan.layers.map((layer, i) => ({
      ...layer,
      a: native()
        .random(seed, 2 * i, layer.rank * layer.in, 'normal')
        .map((x) => x * size),
      b: native()
        .random(seed, 2 * i + 1, layer.out * layer.rank, 'normal')
        .map((x) => x * size),
    })),
  )
}

const batch = () => tiny.clients.north!.examples.slice(0, 4)

async function lossAt(scale: number, adapter: ReturnType<typeof randomAdapter>): Promise<number> {
  const scaled = makeAdapter(adapter.layers.map((layer) => ({ ...layer, scale: layer.scale * scale })))
  using evaluator = new LossEvaluator(tiny.base, scaled, batch(), {})
  const { sum, tokens } = await evaluator.sum(batch())
  return sum / tokens
}

describe('a probe', () => {
  test('has the loss of the adapter it is placed at', async () => {
    const adapter = randomAdapter(1, 0.05)
    using probe = new Probe(tiny.base, tiny.plan, batch())
    await probe.place({ adapter, scale: 0.7 })
    expect((await probe.gradient(batch())).loss).toBeCloseTo(await lossAt(0.7, adapter), 5)
    await probe.place()
    expect((await probe.gradient(batch())).loss).toBeCloseTo(await lossAt(0, adapter), 5)
  })

  test("gives the slope and the curvature that the loss's own differences have", async () => {
    const adapter = randomAdapter(2, 0.05)
    const h = 0.05
    const [before, here, after] = await Promise.all([
      lossAt(1 - h, adapter),
      lossAt(1, adapter),
      lossAt(1 + h, adapter),
    ])
    using probe = new Probe(tiny.base, tiny.plan, batch())
    await probe.place()
    await probe.gradient(batch())
    await probe.keep()
    await probe.place({ adapter, scale: 1 })
    await probe.gradient(batch())
    // x - x0 is the whole adapter, so its slope is d loss / d scale.
    const { slope } = total(await probe.compare())
    expect(slope / ((after - before) / (2 * h))).toBeCloseTo(1, 2)
    await probe.place({ adapter, scale: 1 - h })
    await probe.gradient(batch())
    await probe.keep()
    await probe.place({ adapter, scale: 1 + h })
    await probe.gradient(batch())
    const { bend, step } = total(await probe.compare())
    // bend = (2h d)' H (2h d); the loss's second difference is h^2 d' H d.
    expect(bend / (4 * (after - 2 * here + before))).toBeCloseTo(1, 1)
    expect(step).toBeGreaterThan(0)
  })

  test('knows how far it went, by layer, and the norm of the base', async () => {
    const adapter = randomAdapter(3, 0.05)
    using probe = new Probe(tiny.base, tiny.plan, batch())
    await probe.place()
    await probe.gradient(batch())
    await probe.keep()
    const norms = await native().squaredNorms(tiny.base.weights, [...probe.tensors])
    const atBase = await probe.compare()
    atBase.forEach(({ point, step, change }, i) => {
      expect(point / norms[i]!).toBeCloseTo(1, 6)
      expect([step, change]).toEqual([0, 0])
    })
    await probe.place({ adapter, scale: 0.5 })
    const there = await probe.compare()
    adapter.layers.forEach((layer, i) => {
      const effect = native().sumSquaredNorm(layer.in, layer.out, [
        { rank: layer.rank, a: layer.a, b: layer.b, weight: 0.5 * layer.scale },
      ])
      expect(there[i]!.step / effect).toBeCloseTo(1, 3)
    })
  })

  test('steps of a given length: random ones are replayed, those along the change climb to the strongest curvature', async () => {
    using probe = new Probe(tiny.base, tiny.plan, batch())
    await probe.place()
    await probe.gradient(batch())
    await probe.keep()
    const bends: number[] = []
    for (const draw of [4, 5, 4]) {
      await probe.stepRandom(9, draw, 0.01)
      await probe.gradient(batch())
      const { step, bend } = total(await probe.compare())
      expect(Math.sqrt(step)).toBeCloseTo(0.01, 6)
      bends.push(bend / step)
    }
    expect(bends[0]).toBe(bends[2])
    expect(bends[0]).not.toBe(bends[1])
    const climbed: number[] = []
    for (let i = 0; i < 6; i++) {
      await probe.stepAlongChange(0.01)
      await probe.gradient(batch())
      const { step, bend } = total(await probe.compare())
      climbed.push(bend / step)
    }
    // The strongest eigenvalue of a random model may be a negative one.
    expect(Math.abs(climbed.at(-1)!)).toBeGreaterThan(5 * Math.abs(bends[0]!))
    expect(climbed.at(-1)! / climbed.at(-2)!).toBeGreaterThan(0.95)
  })

  test('sums kept gradients with weights', async () => {
    using probe = new Probe(tiny.base, tiny.plan, batch())
    await probe.place()
    await probe.gradient(batch())
    const once = total(await probe.compare()).gradient
    await probe.keep(0.25)
    await probe.keep(0.75, true)
    expect(total(await probe.compare()).keptGradient / once).toBeCloseTo(1, 5)
  })

  test('gives the same bits for any number of threads', async () => {
    const numbers = async (threads: number) => {
      using probe = new Probe(tiny.base, tiny.plan, batch(), { threads })
      await probe.place({ adapter: randomAdapter(5, 0.05), scale: 1 })
      await probe.gradient(batch())
      await probe.keep()
      await probe.stepRandom(1, 2, 0.1)
      await probe.gradient(batch())
      return probe.compare()
    }
    expect(await numbers(1)).toEqual(await numbers(3))
  })

  test('refuses a point that does not fit or is not finite, and what is closed', async () => {
    const adapter = randomAdapter(6, 0.05)
    const probe = new Probe(tiny.base, tiny.plan, batch())
    const [layer, ...rest] = adapter.layers
    const bad = makeAdapter([{ ...layer!, a: layer!.a.map(() => Number.NaN) }, ...rest])
    await expect(probe.place({ adapter: bad, scale: 1 })).rejects.toThrow(expect.objectContaining({ code: 'NUMERIC' }))
    const stranger = makeAdapter([{ ...layer!, name: 'model.layers.0.self_attn.k_proj' }])
    await expect(probe.place({ adapter: stranger, scale: 1 })).rejects.toThrow(
      expect.objectContaining({ code: 'ARGUMENT' }),
    )
    probe[Symbol.dispose]()
    await expect(probe.place()).rejects.toThrow(expect.objectContaining({ code: 'CLOSED' }))
  })
})
