/** A job stops when asked, and leaves everything as it was before the step. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { evaluate } from '../../src/evaluate/evaluate.js'
import type { Batch } from '../../src/native/binding/batch.js'
import type { NativeSession } from '../../src/native/binding/session.js'
import { native } from '../../src/native/load.js'
import { adamw } from '../../src/train/optimizer.js'
import { train } from '../../src/train/train.js'
import { serializeUpdate } from '../../src/update/update.js'
import { type TinyFederation, tinyFederation } from '../federation/tiny.js'

let tiny: TinyFederation
beforeAll(async () => {
  tiny = await tinyFederation({}, ['north', 'east'])
})
afterAll(() => tiny[Symbol.asyncDispose]())

const options = { ...adamw, learningRate: 0.1, weightDecay: 0, clipNorm: 1, seed: 1 }

/** A batch whose step takes about a second. */
function large(): Batch {
  const examples = 800
  const length = 96
  const ids = Int32Array.from({ length: examples * length }, (_, i) => (i * 7919) % 257)
  return {
    ids,
    labels: ids.map((id) => (id + 1) % 257),
    lengths: new Int32Array(examples).fill(length),
    dropoutCounters: Uint32Array.from({ length: examples }, (_, i) => i),
  }
}

function open(): NativeSession {
  const slots = tiny.base.spec.linearLayers.map((layer) => ({
    kind: 'lora' as const,
    layer: layer.name,
    rank: 4,
    scale: 2,
    dropout: 0,
  }))
  const session = new (native().Session)(tiny.base.weights, {
    slots,
    overlay: [],
    threads: 2,
    rowsPerPass: 960,
    longestExample: 96,
    training: true,
  })
  session.setParameters(Float32Array.from({ length: session.parameterCount }, (_, i) => Math.sin(i) * 0.01))
  return session
}

const wait = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds))

it('stops a step within 100 ms and keeps the parameters and moments of before', { retry: 2 }, async () => {
  const session = open()
  try {
    await session.step({ ...large(), ...first(large(), 4) }, options)
    const before = { parameters: session.parameters(), ...session.optimizerState() }
    const running = session.step(large(), options).then(
      () => 'finished',
      (error: { code?: string }) => error.code,
    )
    await wait(60)
    const asked = performance.now()
    session.abort()
    expect(await running).toBe('ABORTED')
    expect(performance.now() - asked).toBeLessThan(100)
    expect({ parameters: session.parameters(), ...session.optimizerState() }).toEqual(before)
    // It can go on, and does what it would have done.
    const after = await session.step(first(large(), 4), options)
    expect(Number.isFinite(after.loss)).toBe(true)
    session.abort()
    expect((await session.step(first(large(), 4), options)).tokens).toBe(4 * 96)
  } finally {
    session.close()
  }
})

it('ends evaluate() and a pending step when the session is closed, and refuses what comes after', async () => {
  const session = open()
  const running = session.evaluate(large()).then(
    () => 'finished',
    (error: { code?: string }) => error.code,
  )
  await wait(30)
  session.close()
  session.close()
  expect(['ABORTED', 'CLOSED']).toContain(await running)
  expect(() => session.parameters()).toThrow(expect.objectContaining({ code: 'CLOSED' }))
  session.abort()
})

it('an AbortSignal that has fired keeps train and evaluate from starting', async () => {
  const signal = AbortSignal.abort()
  await expect(train(tiny.base, tiny.clients.north!, tiny.plan, { client: 'north', signal })).rejects.toMatchObject({
    code: 'ABORTED',
  })
  await expect(evaluate(tiny.base, tiny.clients.north!, { signal })).rejects.toMatchObject({ code: 'ABORTED' })
})

it('two trainings at once give what each gives alone', async () => {
  const one = (client: string) =>
    train(tiny.base, tiny.clients[client]!, tiny.plan, { client, threads: 2 }).then((update) => serializeUpdate(update))
  const alone = [await one('north'), await one('east')]
  expect(await Promise.all([one('north'), one('east')])).toEqual(alone)
  expect(await Promise.all([one('east'), one('east'), one('east')])).toEqual([alone[1], alone[1], alone[1]])
})

it('closing the model while a training runs does not pull the weights away', async () => {
  const { openModel } = await import('../../src/model/open.js')
  const base = await openModel(tiny.source)
  const expected = serializeUpdate(await train(base, tiny.clients.north!, tiny.plan, { client: 'north' }))
  const running = train(base, tiny.clients.north!, tiny.plan, {
    client: 'north',
    onStep: ({ step }) => (step === 1 ? base.close() : undefined),
  })
  expect(serializeUpdate(await running)).toEqual(expected)
})

/** The first examples of a batch. */
function first(batch: Batch, count: number): Batch {
  const rows = batch.lengths.subarray(0, count).reduce((sum, length) => sum + length, 0)
  return {
    ids: batch.ids.slice(0, rows),
    labels: batch.labels.slice(0, rows),
    lengths: batch.lengths.slice(0, count),
    dropoutCounters: batch.dropoutCounters.slice(0, count),
  }
}
