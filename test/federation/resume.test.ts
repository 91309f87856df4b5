/** A run that was stopped goes on: nothing finished is redone, and the result has the same bits. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { defaultCompare } from '../../src/federation/arms.js'
import { type SimulateOptions, simulate } from '../../src/federation/simulate.js'
import { readMetrics } from '../../src/run/metrics.js'
import { initialStart } from '../../src/train/start.js'
import { train, trainFrom } from '../../src/train/train.js'
import { updateCount } from '../../src/update/layers.js'
import type { Plan } from '../../src/update/plan.js'
import { serializeUpdate } from '../../src/update/update.js'
import { bits, type TinyFederation, tinyFederation } from './tiny.js'

let tiny: TinyFederation
beforeAll(async () => {
  tiny = await tinyFederation({ rounds: 1, epochs: 2 })
})
afterAll(() => tiny[Symbol.asyncDispose]())

const run = (name: string, o: SimulateOptions = {}) =>
  simulate(tiny.base, tiny.clients, tiny.plan, { folder: join(tiny.folder, name), threads: 2, ...o })
const events = async (name: string) => (await readMetrics(join(tiny.folder, name, 'metrics.jsonl'))).events

it('a client trains on from its checkpoint, to the same bits', async () => {
  const plan: Plan = await tiny.planOf({ epochs: 4 })
  const options = { client: 'south', threads: 2 }
  const whole = serializeUpdate(await train(tiny.base, tiny.clients.south!, plan, options))
  const checkpoint = join(tiny.folder, 'south.checkpoint')
  const controller = new AbortController()
  const steps: number[] = []
  const stopped = train(tiny.base, tiny.clients.south!, plan, {
    ...options,
    checkpoint,
    signal: controller.signal,
    onStep: ({ step }) => {
      steps.push(step)
      if (step === 5) controller.abort()
    },
  })
  await expect(stopped).rejects.toMatchObject({ code: 'ABORTED' })
  const rest = await train(tiny.base, tiny.clients.south!, plan, {
    ...options,
    checkpoint,
    resume: true,
    onStep: ({ step }) => void steps.push(step),
  })
  expect(steps).toEqual(Array.from({ length: 12 }, (_, i) => i + 1))
  expect(serializeUpdate(rest)).toEqual(whole)
  expect(() => readFileSync(checkpoint)).toThrow('ENOENT')
})

it('what the client kept of its last round is part of what a checkpoint belongs to', async () => {
  const start = initialStart(tiny.plan)
  const count = updateCount(tiny.plan)
  const correction = (value: number) => new Float32Array(count).fill(value)
  const optimizerState = (steps: number) => ({ first: correction(0), second: correction(1), steps })
  for (const [own, other, what] of [
    [{ correction: correction(1e-4) }, { correction: correction(2e-4) }, 'correction'],
    [{ optimizerState: optimizerState(3) }, { optimizerState: optimizerState(4) }, 'optimizer state'],
  ] as const) {
    const checkpoint = join(tiny.folder, `${what}.checkpoint`)
    const go = (more: object) =>
      trainFrom(tiny.base, tiny.clients.north!, tiny.plan, start, { client: 'north', ...own, ...more })
    const whole = await go({})
    await go({ checkpoint, keepCheckpoint: true, checkpointSeconds: 0 })
    for (const wrong of [other, { correction: undefined, optimizerState: undefined }])
      await expect(go({ checkpoint, resume: true, ...wrong })).rejects.toMatchObject({
        code: 'MISMATCH',
        message: expect.stringMatching(what),
      })
    expect(serializeUpdate(await go({ checkpoint, resume: true }))).toEqual(serializeUpdate(whole))
  }
})

it("another client's, round's or data's checkpoint is refused", async () => {
  const checkpoint = join(tiny.folder, 'north.checkpoint')
  const options = { client: 'north', checkpoint }
  await train(tiny.base, tiny.clients.north!, tiny.plan, { ...options, keepCheckpoint: true, checkpointSeconds: 0 })
  const resume = (client: string, data = tiny.clients[client]!) =>
    train(tiny.base, data, tiny.plan, { client, checkpoint, resume: true })
  await expect(resume('east')).rejects.toMatchObject({ code: 'MISMATCH' })
  await expect(resume('north', tiny.clients.east!)).rejects.toMatchObject({ code: 'MISMATCH' })
  const other = await tiny.planOf({ learningRate: 0.02 })
  await expect(train(tiny.base, tiny.clients.north!, other, { ...options, resume: true })).rejects.toMatchObject({
    code: 'MISMATCH',
  })
})

it('a run that was stopped anywhere ends as one that was not', { timeout: 240_000 }, async () => {
  const compare = ['base', 'client', '1x2', '2x1', 'pooled'] as const
  expect(defaultCompare(tiny.plan)).toEqual(compare)
  const whole = await run('whole')
  const names = whole.arms.map((arm) => arm.client ?? arm.name)
  expect(names).toEqual(['base', 'east', 'north', 'south', '1x2', '2x1', 'pooled'])

  // Stopped again and again, each time after a few more steps, until it ends.
  let stops = 0
  for (let ended = false; !ended; ) {
    const controller = new AbortController()
    let progress = 0
    const onProgress = () => {
      if (++progress === 9) controller.abort()
    }
    await run('stopped', { resume: true, signal: controller.signal, onProgress, checkpointSeconds: 0 }).then(
      ({ arms, adapter }) => {
        ended = true
        expect(bits(adapter)).toEqual(bits(whole.adapter))
        expect(withoutSeconds(arms)).toEqual(withoutSeconds(whole.arms))
      },
      (error: unknown) => {
        expect(error).toMatchObject({ code: 'ABORTED' })
        stops++
      },
    )
    expect(stops).toBeLessThan(60)
  }
  expect(stops).toBeGreaterThan(3)
  // No update was sent twice, and no step of a client was done twice.
  const updates = (await events('stopped')).filter((event) => event.event === 'update')
  const places = updates.map(({ arm, round, client }) => `${String(arm)}/${String(round)}/${String(client)}`)
  expect(new Set(places).size).toBe(places.length)
  expect(places.length).toBe(3 + 2 * 3 + 1)
  const steps = (await events('stopped'))
    .filter((event) => event.event === 'step')
    .map(({ arm, client, step }) => `${String(arm)}/${String(client)}/${String(step)}`)
  expect(new Set(steps).size).toBe(steps.length)
})

it('a finished run gives its result again without training', async () => {
  const { adapter, arms } = await run('whole', { resume: true })
  const trained = (await events('whole')).filter((event) => event.event === 'update').length
  expect(trained).toBe(10)
  const again = await run('whole', { resume: true })
  expect(bits(again.adapter)).toEqual(bits(adapter))
  expect(again.arms).toEqual(arms)
  expect((await events('whole')).filter((event) => event.event === 'update').length).toBe(trained)
})

it('other data or another plan in the same folder are refused, and a folder that is not resumed', async () => {
  const folder = join(tiny.folder, 'whole')
  await expect(simulate(tiny.base, tiny.clients, tiny.plan, { folder })).rejects.toMatchObject({ code: 'REFUSED' })
  const swapped = { ...tiny.clients, north: tiny.clients.east!, east: tiny.clients.north! }
  await expect(simulate(tiny.base, swapped, tiny.plan, { folder, resume: true })).rejects.toMatchObject({
    code: 'MISMATCH',
  })
  await expect(
    simulate(tiny.base, tiny.clients, await tiny.planOf({ seed: 1 }), { folder, resume: true }),
  ).rejects.toMatchObject({ code: 'MISMATCH' })
})

/** Time is the one thing that is not the same twice. */
function withoutSeconds(arms: readonly { seconds: number }[]): object[] {
  return arms.map((arm) => ({ ...arm, seconds: 0 }))
}
