/** What makes a comparison fair, and what its numbers count. */
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { foundAdapterFiles, loadAdapter } from '../../src/adapter/folder.js'
import { order } from '../../src/data/batches.js'
import { evaluate } from '../../src/evaluate/evaluate.js'
import { checkCompare, defaultCompare, horizonOf, planOfArm, resultArm } from '../../src/federation/arms.js'
import { pool } from '../../src/federation/pooled.js'
import { simulate } from '../../src/federation/simulate.js'
import { type MetricEvent, readMetrics } from '../../src/run/metrics.js'
import { planText } from '../../src/update/plan.js'
import { bits, type TinyFederation, tinyFederation } from './tiny.js'

let tiny: TinyFederation
beforeAll(async () => {
  tiny = await tinyFederation({ rounds: 3, epochs: 1 })
})
afterAll(() => tiny[Symbol.asyncDispose]())

describe('names', () => {
  it('are checked, and an RxE arm is needed', () => {
    expect(checkCompare(['base', '1x3', 'base', 'pooled'])).toEqual(['base', '1x3', 'pooled'])
    for (const wrong of ['1x', 'x3', '0x3', '1x03', '1.5x2', 'central', '']) {
      expect(() => checkCompare([wrong, '1x1']), wrong).toThrow(expect.objectContaining({ code: 'ARGUMENT' }))
    }
    expect(() => checkCompare(['base', 'pooled'])).toThrow(expect.objectContaining({ code: 'ARGUMENT' }))
  })

  it("default to arms at the plan's horizon", async () => {
    expect(defaultCompare(tiny.plan)).toEqual(['base', 'client', '1x3', '3x1', 'pooled'])
    expect(defaultCompare(await tiny.planOf({ rounds: 2, epochs: 2 }))).toEqual([
      'base',
      'client',
      '1x4',
      '2x2',
      '4x1',
      'pooled',
    ])
    expect(defaultCompare(await tiny.planOf({ rounds: 1, epochs: 1 }))).toEqual(['base', 'client', '1x1', 'pooled'])
    expect(horizonOf(tiny.plan)).toBe(3)
    expect(resultArm(tiny.plan, ['base', '1x3', '3x1'])).toBe('3x1')
    expect(resultArm(tiny.plan, ['base', '1x3', '2x1'])).toBe('1x3')
  })
})

describe('a comparison', () => {
  const steps = (events: readonly MetricEvent[], arm: string, client: string) =>
    events.filter((event) => event.event === 'step' && event.arm === arm && event.client === client)

  it('reads the same examples at the same rate in every arm, judges them alike, and counts what travels', async () => {
    const folder = join(tiny.folder, 'run')
    const { arms, adapter } = await simulate(tiny.base, tiny.clients, tiny.plan, { folder, threads: 2 })
    const { events } = await readMetrics(join(folder, 'metrics.jsonl'))

    for (const client of Object.keys(tiny.clients)) {
      const one = steps(events, '1x3', client)
      const three = steps(events, '3x1', client)
      expect(one.length).toBeGreaterThan(3)
      for (const field of ['step', 'learningRate', 'tokens']) {
        expect(
          three.map((event) => event[field]),
          field,
        ).toEqual(one.map((event) => event[field]))
      }
      // The first round of 3x1 is the first third of 1x3; after it the start is the aggregate, so losses part.
      const third = one.length / 3
      expect(three.slice(0, third).map((event) => event.loss)).toEqual(one.slice(0, third).map((event) => event.loss))
      expect(three[third + 1]!.loss).not.toEqual(one[third + 1]!.loss)
      expect(three.map((event) => event.round)).toEqual(one.map((_, i) => 1 + Math.floor(i / third)))
    }

    const arm = (name: string, client?: string) => arms.find((one) => one.name === name && one.client === client)!
    for (const one of arms) {
      const scores = Object.values(one.perClient)
      expect(Object.keys(one.perClient)).toEqual(['east', 'north', 'south'])
      const tokens = scores.reduce((sum, score) => sum + score.tokens, 0)
      expect(one.overall.tokens).toBe(tokens)
      expect(one.overall.loss).toBeCloseTo(
        scores.reduce((sum, score) => sum + score.loss * score.tokens, 0) / tokens,
        10,
      )
      expect(one.overall.perplexity).toBeCloseTo(Math.exp(one.overall.loss), 10)
    }
    const held = tiny.clients.north!.heldOut(tiny.plan.data.heldOut).heldOut
    expect(await evaluate(tiny.base, held)).toMatchObject(arm('base').perClient.north!)
    expect(await evaluate(tiny.base, held, { adapter, threads: 1 })).toMatchObject(arm('3x1').perClient.north!)
    // On its own text a client's training must help, and all together must beat the base.
    expect(arm('client', 'north').perClient.north!.loss).toBeLessThan(arm('base').perClient.north!.loss)
    for (const name of ['1x3', '3x1', 'pooled'])
      expect(arm(name).overall.loss, name).toBeLessThan(arm('base').overall.loss)

    const size = (...path: string[]) => statSync(join(folder, ...path)).size
    const sent = (name: string) =>
      readdirSync(join(folder, 'updates', name)).reduce(
        (sum, round) =>
          sum +
          readdirSync(join(folder, 'updates', name, round)).reduce(
            (bytes, file) => bytes + size('updates', name, round, file),
            0,
          ),
        0,
      )
    expect(arm('1x3').bytesUp).toBe(sent('1x3'))
    expect(arm('3x1').bytesUp).toBe(sent('3x1'))
    expect(arm('3x1').bytesUp / arm('1x3').bytesUp).toBeCloseTo(3, 1)
    const plan = (epochs: number, rounds: number) =>
      Buffer.byteLength(planText(planOfArm(tiny.plan, { epochs, rounds })))
    const weights = (...path: string[]) =>
      foundAdapterFiles(join(folder, ...path))
        .filter((name) => name.endsWith('.safetensors'))
        .reduce((sum, name) => sum + size(...path, name), 0)
    const starts = weights('state', '3x1', '1') + weights('state', '3x1', '2')
    // Files say which method made them; that field is not among what is counted.
    const served = size('adapter', 'adapter_model.safetensors')
    expect(Math.abs(arm('3x1').bytesDown - 3 * (plan(1, 3) + starts + served))).toBeLessThan(3 * 64)
    expect(arm('1x3').bytesDown).toBeLessThan(arm('3x1').bytesDown / 2)
    expect([arm('base').bytesUp, arm('base').bytesDown, arm('client', 'east').bytesUp]).toEqual([0, 0, 0])
    expect(arm('pooled').bytesUp).toBe(
      Object.values(tiny.clients).reduce(
        (sum, data) => sum + data.heldOut(0.25).train.examples.reduce((n, e) => n + e.characters, 0),
        0,
      ),
    )
    expect(bits(await loadAdapter(join(folder, 'adapter')))).toEqual(bits(adapter))
  })

  it('is refused where it could say nothing', async () => {
    const nothing = await tiny.planOf({ heldOut: 0 })
    await expect(simulate(tiny.base, tiny.clients, nothing)).rejects.toMatchObject({ code: 'ARGUMENT' })
    await expect(simulate(tiny.base, {}, tiny.plan)).rejects.toMatchObject({ code: 'ARGUMENT' })
    await expect(simulate(tiny.base, { north: tiny.clients.north! }, tiny.plan)).rejects.toMatchObject({
      code: 'MISMATCH',
    })
    const stranger = { ...tiny.plan, base: { ...tiny.plan.base, sha256: '0'.repeat(64) } }
    await expect(simulate(tiny.base, tiny.clients, stranger)).rejects.toMatchObject({ code: 'MISMATCH' })
  })
})

describe('the pooled arm', () => {
  it("takes every client's examples in that client's own order, in turns that change", () => {
    const { data, orderOf, plan } = pool(new Map(Object.entries(tiny.clients)), tiny.plan)
    expect(plan.train.epochs).toBe(3)
    const names = Object.keys(tiny.clients).sort()
    const parts = names.map((name) => tiny.clients[name]!.heldOut(tiny.plan.data.heldOut).train.examples)
    expect(data.count).toBe(parts.reduce((sum, part) => sum + part.length, 0))
    const turns: string[] = []
    for (const epoch of [0, 1, 2]) {
      const seen = [...orderOf(epoch)].map((place) => data.examples[place]!)
      turns.push(seen.map((example) => parts.findIndex((part) => part.includes(example))).join(''))
      for (const part of parts) {
        const own = [...order(part.length, tiny.plan.train.seed, epoch)].map((place) => part[place])
        expect(seen.filter((example) => part.includes(example))).toEqual(own)
      }
    }
    expect(new Set(turns).size).toBe(3)
  })
})
