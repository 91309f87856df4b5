/** Looks at the held-out part while a client trains, the end they may bring, and weight decay by pattern. */
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { simulate } from '../../src/federation/simulate.js'
import { readMetrics } from '../../src/run/metrics.js'
import type { EvaluationRecord } from '../../src/train/evaluations.js'
import { train } from '../../src/train/train.js'
import { createPlan } from '../../src/update/create-plan.js'
import type { Plan } from '../../src/update/plan.js'
import { makeReceipt, parseReceipt } from '../../src/update/receipt.js'
import { serializeUpdate } from '../../src/update/update.js'
import { type TinyFederation, tinyFederation } from './tiny.js'

let tiny: TinyFederation
/** So fast that the held-out loss rises before the end. */
// What a learning rate of 1 leads to hangs on every bit, so the arithmetic is named.
const wild = { learningRate: 1, epochs: 6, schedule: 'constant', clipNorm: 0, compute: 'f32' } as const
beforeAll(async () => {
  tiny = await tinyFederation()
})
afterAll(() => tiny[Symbol.asyncDispose]())

async function looked(plan: Plan, o: object = {}) {
  const records: EvaluationRecord[] = []
  const steps: number[] = []
  const update = await train(tiny.base, tiny.clients.south!, plan, {
    client: 'south',
    onEvaluation: (record) => void records.push(record),
    onStep: ({ step }) => void steps.push(step),
    ...o,
  })
  return { update, records, steps }
}

describe('looks at the held-out part', () => {
  it('change nothing but what is told: same steps, same factors, one look every n steps and one at the end', async () => {
    const plain = await looked(await tiny.planOf({ epochs: 2 }))
    expect(plain.records).toEqual([])
    const every = await looked(await tiny.planOf({ epochs: 2, evaluateEvery: 3 }))
    expect(every.update.adapter.layers).toEqual(plain.update.adapter.layers)
    const last = every.steps.at(-1)!
    const expected = [...Array(last).keys()].map((i) => i + 1).filter((step) => step % 3 === 0 || step === last)
    expect(every.records.map(({ step }) => step)).toEqual(expected)
    expect(every.records.at(-1)!.loss).toBe(plain.update.info.lossAfter)
    const epochs = await looked(await tiny.planOf({ epochs: 2, evaluateEvery: 'epoch' }))
    expect(epochs.records.map(({ step }) => step)).toEqual([last / 2, last])
  })
})

describe('early stop', () => {
  it('ends after so many looks without a new best, and sends the best parameters', async () => {
    const on = await looked(await tiny.planOf({ ...wild, evaluateEvery: 1 }))
    const plan = await tiny.planOf({ ...wild, evaluateEvery: 1, patience: 2 })
    const { update, records, steps } = await looked(plan)
    const best = records.findLast((record) => record.best)!
    expect(steps.length).toBeLessThan(on.steps.length)
    expect(records.length).toBe(steps.length)
    expect(records.slice(records.indexOf(best)).map((record) => record.best)).toEqual([true, false, false])
    expect(best.loss).toBe(Math.min(...records.map(({ loss }) => loss)))
    expect(update.info.lossAfter).toBe(best.loss)
    // The parameters are those of the best step: a training that ends there sends the same.
    const there = await looked(plan, { onEvaluation: undefined, onStep: undefined })
    expect(serializeUpdate(there.update)).toEqual(serializeUpdate(update))
    expect(on.records.slice(0, records.length)).toEqual(records)
  })

  it('is in the checkpoint: a training that was stopped goes on to the same bits', async () => {
    const plan = await tiny.planOf({ ...wild, evaluateEvery: 1, patience: 2 })
    const whole = await looked(plan)
    const checkpoint = join(tiny.folder, 'early.checkpoint')
    for (const at of [1, whole.steps.length - 1]) {
      const controller = new AbortController()
      const onStep = ({ step }: { step: number }) => void (step === at && controller.abort())
      await expect(looked(plan, { checkpoint, signal: controller.signal, onStep })).rejects.toMatchObject({
        code: 'ABORTED',
      })
      const rest = await looked(plan, { checkpoint, resume: true })
      expect(serializeUpdate(rest.update), `stopped after step ${at}`).toEqual(serializeUpdate(whole.update))
      expect(rest.records).toEqual(whole.records.slice(-rest.records.length))
    }
  })

  it('keeps what is shared as the plan says', async () => {
    const { update } = await looked(await tiny.planOf({ ...wild, evaluateEvery: 1, patience: 1, share: ['examples'] }))
    expect(Object.keys(update.info)).not.toContain('lossAfter')
  })

  it('stops full training too, with the best weights as the change', async () => {
    const { targets: _, rank: __, alpha: ___, dropout: ____, ...rest } = (await import('./tiny.js')).settings
    const o = { ...rest, ...wild, learningRate: 0.05, trainable: 'full', evaluateEvery: 1 } as const
    const plan = await createPlan(tiny.base, { ...o, patience: 1, clients: ['south'] })
    const { update, records } = await looked(plan)
    const best = records.findLast((record) => record.best)!
    const short = await createPlan(tiny.base, { ...o, clients: ['south'] })
    const steps: EvaluationRecord[] = []
    await train(tiny.base, tiny.clients.south!, short, {
      client: 'south',
      onEvaluation: (record) => void steps.push(record),
    })
    expect(steps.length).toBeGreaterThan(records.length)
    expect(update.info.lossAfter).toBe(best.loss)
  })

  it('is refused in a comparison of arms, and runs beside the base', async () => {
    const plan = await tiny.planOf({ ...wild, evaluateEvery: 1, patience: 1 })
    for (const compare of [undefined, ['1x6', 'client'], ['1x6', '2x3'], ['1x6', 'pooled']] as const) {
      await expect(
        simulate(tiny.base, tiny.clients, plan, compare === undefined ? {} : { compare }),
      ).rejects.toMatchObject({ code: 'ARGUMENT', message: expect.stringMatching(/early/) })
    }
    const folder = join(tiny.folder, 'early-run')
    const { arms } = await simulate(tiny.base, tiny.clients, plan, { compare: ['base', '1x6'], folder })
    expect(arms.map(({ name }) => name)).toEqual(['base', '1x6'])
    const { events } = await readMetrics(join(folder, 'metrics.jsonl'))
    const looks = events.filter(({ event }) => event === 'evaluation')
    expect(new Set(looks.map(({ client }) => client))).toEqual(new Set(['north', 'east', 'south']))
    expect(looks.every(({ arm, round, step, loss }) => arm === '1x6' && round === 1 && step && loss)).toBe(true)
  })

  it('stands in the receipt', async () => {
    const plan = await tiny.planOf({ ...wild, evaluateEvery: 1, patience: 1 })
    const { update, records } = await looked(plan)
    const receipt = makeReceipt({
      update,
      saved: { sha256: 'a'.repeat(64), bytes: 1 },
      plan,
      data: [],
      evaluations: records,
    })
    expect(parseReceipt(JSON.parse(JSON.stringify(receipt)), 'it').evaluations).toEqual(records)
  })
})

describe('weight decay', () => {
  it('follows its patterns: a layer without decay trains as if there were none', async () => {
    const heavy = { epochs: 1, weightDecay: 5 }
    const layersOf = async (o: object) =>
      new Map((await looked(await tiny.planOf(o))).update.adapter.layers.map((layer) => [layer.name, layer]))
    const none = await layersOf({ epochs: 1 })
    const all = await layersOf(heavy)
    const some = await layersOf({ ...heavy, weightDecayPattern: { q_proj: 0, v_proj: 0, down_proj: 0 } })
    const half = await layersOf({ epochs: 1, weightDecayPattern: { q_proj: 5, v_proj: 5, down_proj: 5 } })
    expect(some).toEqual(none)
    expect(half).toEqual(all)
    expect(all).not.toEqual(none)
    const one = await layersOf({ ...heavy, weightDecayPattern: { down_proj: 0 } })
    expect(one).not.toEqual(all)
    expect(one).not.toEqual(none)
  })
})
