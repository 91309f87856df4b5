/** Rounds of ffa and fed-sb: where they start, and arms beside each other. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { makeAdapter } from '../../../src/adapter/adapter.js'
import { loadAdapter } from '../../../src/adapter/folder.js'
import { evaluate } from '../../../src/evaluate/evaluate.js'
import { generate } from '../../../src/evaluate/generate.js'
import { simulate } from '../../../src/federation/simulate.js'
import { initialStart, startOfRound } from '../../../src/train/start.js'
import type { PlanOptions } from '../../../src/update/create-plan.js'
import { adapterSha256 } from '../../../src/update/digest.js'
import { serializeUpdate } from '../../../src/update/update.js'
import { bits, distance } from '../tiny.js'
import { closed, kinds, optionsOf, sharedPlans } from './shared-plans.js'

const shared = sharedPlans()

describe.each(kinds)('rounds of %s', (kind) => {
  it('start from the mean as it is, through a folder too', async () => {
    const two = await shared.tiny.planOf({ ...optionsOf(kind), rounds: 2, epochs: 1, weights: 'uniform' })
    const updates = [await shared.update('north', two), await shared.update('east', two)]
    const exact = await closed(two, updates)
    const folder = join(shared.tiny.folder, `${kind}-start`)
    await exact.save(folder)
    const kept = await loadAdapter(folder)
    expect(adapterSha256(kept)).toBe(adapterSha256(exact))
    const start = startOfRound(two, 2, kept)
    expect(start.frozen).toEqual([])
    expect(bits(start.trained)).toEqual(bits(exact))
    // A client that learns nothing sends the start: the mean of the round before.
    const still = { ...two, train: { ...two.train, learningRate: 1e-30 } }
    const same = await shared.update('south', still, { round: 2, start: kept })
    expect(distance(same.adapter, exact)).toBeLessThan(1e-6)
    if (kind === 'fed-sb')
      for (const [i, core] of same.cores!.entries())
        for (const [at, value] of core.entries()) {
          const mean = (updates[0]!.cores![i]![at]! + updates[1]!.cores![i]![at]!) / 2
          expect(Math.abs(value - mean)).toBeLessThan(1e-6 * Math.max(...core.map(Math.abs)))
        }
    const moved = await shared.update('south', two, { round: 2, start: kept })
    expect(bits(await closed(two, [moved], kept))).toEqual(bits(moved.adapter))
    const other = makeAdapter(kept.layers.map((layer) => ({ ...layer, a: layer.a.map((x) => -x) })))
    await expect(shared.update('south', two, { round: 2, start: other })).rejects.toMatchObject({ code: 'MISMATCH' })
    await expect(
      shared.update('south', two, { round: 2, start: makeAdapter(kept.layers.slice(1)) }),
    ).rejects.toMatchObject({
      code: 'MISMATCH',
    })
    if (kind === 'ffa') return
    const turned = makeAdapter(kept.layers.map((layer) => ({ ...layer, b: layer.b.map((_, i) => Math.sin(i)) })))
    await expect(shared.update('south', two, { round: 2, start: turned })).rejects.toMatchObject({ code: 'MISMATCH' })
  })

  it('compare with one round and pooled; what is uploaded is what travels', async () => {
    const two = await shared.tiny.planOf({ ...optionsOf(kind), rounds: 2, epochs: 1 })
    const folder = join(shared.tiny.folder, `${kind}-run`)
    const compare = ['base', 'client', '1x2', '2x1', 'pooled'] as const
    const { arms, adapter } = await simulate(shared.tiny.base, shared.tiny.clients, two, {
      compare: [...compare],
      folder,
    })
    const arm = (name: string) => arms.find((one) => one.name === name)!
    for (const name of ['1x2', '2x1', 'pooled'])
      expect(arm(name).overall.loss, name).toBeLessThan(arm('base').overall.loss)
    const size = serializeUpdate(await shared.update('north', two)).byteLength
    expect(arm('1x2').bytesUp / (3 * size)).toBeCloseTo(1, 1)
    expect(arm('2x1').bytesUp / (6 * size)).toBeCloseTo(1, 1)
    const both = await shared.tiny.planOf({ ...optionsOf(kind), trainable: 'lora', learningRate: 0.01 })
    expect(size).toBeLessThan(serializeUpdate(await shared.update('north', both)).byteLength)
    const kept = await loadAdapter(join(folder, 'adapter'))
    expect(bits(kept)).toEqual(bits(adapter))
    const held = shared.tiny.clients.north!.heldOut(two.data.heldOut).heldOut
    expect((await evaluate(shared.tiny.base, held, { adapter: kept })).loss).toBe(arm('2x1').perClient.north!.loss)
    let text = ''
    for await (const piece of generate(shared.tiny.base, 'snow falls', { adapter: kept, maxTokens: 4 })) text += piece
    expect(text.length).toBeGreaterThan(0)
    const again = await simulate(shared.tiny.base, shared.tiny.clients, two, {
      compare: [...compare],
      folder,
      resume: true,
    })
    expect(again.arms).toEqual(arms)
    rmSync(folder, { recursive: true })
  })

  it('are held near their start by fedprox, and tell the leak of an ablation', async () => {
    const two = await shared.tiny.planOf({ ...optionsOf(kind), rounds: 2, epochs: 1 })
    const start = await closed(two, [await shared.update('east', two)])
    const moved = async (strategy: PlanOptions) => {
      const plan = await shared.tiny.planOf({ ...optionsOf(kind), rounds: 2, epochs: 1, ...strategy })
      const { adapter } = await shared.update('north', plan, { round: 2, start })
      return distance(adapter, start)
    }
    const free = await moved({ strategy: 'fedavg' })
    const near = await moved({ strategy: 'fedprox', mu: 10 })
    expect(near).toBeLessThan(free)
    expect(await moved({ strategy: 'fedprox', mu: 1000 })).toBeLessThan(near)
    const { arms } = await simulate(shared.tiny.base, shared.tiny.clients, two, {
      compare: ['1x2', '1x2:shared-object-leak'],
    })
    expect(arms[1]!.overall.loss).not.toBe(arms[0]!.overall.loss)
  })

  it('begin with no effect and with what all clients can compute', () => {
    const { trained, sha256 } = initialStart(shared.plans[kind])
    expect(trained.layers.every(({ b }) => b.every((value) => value === 0))).toBe(true)
    expect(initialStart(structuredClone(shared.plans[kind])).sha256).toBe(sha256)
  })
})
