/** Several seeds and learning rates in one call: what is run, where it lies, what is told, and going on after a stop. */
import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Replicate, replicate } from '../../src/diagnose/replicate.js'
import { isKnown } from '../../src/diagnose/types.js'
import { simulate } from '../../src/federation/simulate.js'
import { type TinyFederation, tinyFederation } from './tiny.js'

const options = { heldOut: 0.4, epochs: 2, rounds: 1, dropout: 0, seed: 5 } as const
let tiny: TinyFederation
beforeAll(async () => {
  tiny = await tinyFederation(options)
})
afterAll(() => tiny[Symbol.asyncDispose]())

test('every rate under every seed: the plan’s own rate is told, all are candidates of their side', async () => {
  const folder = join(tiny.folder, 'all')
  const told: Replicate[] = []
  const o = { folder, seeds: 2, learningRates: [0.01, 0.03], compare: ['base', '1x2', '2x1', 'pooled'] as const }
  const { runs, diagnosis } = await replicate(tiny.base, tiny.clients, tiny.plan, {
    ...o,
    onRun: (run) => told.push(run),
  })
  expect(told).toEqual(runs)
  // 0.01 is the plan's own: it is not run twice.
  expect(runs.map(({ folder: at, seed, learningRate }) => [at.slice(folder.length + 1), seed, learningRate])).toEqual([
    ['seed-5', 5, 0.01],
    ['seed-6', 6, 0.01],
    ['learning-rate-0.03/seed-5', 5, 0.03],
    ['learning-rate-0.03/seed-6', 6, 0.03],
  ])
  if (!isKnown(diagnosis.comparison) || !isKnown(diagnosis.best)) throw new Error('unknown')
  expect(diagnosis.comparison.seeds).toEqual([5, 6])
  expect(diagnosis.best.candidates.one).toBeGreaterThanOrEqual(2)
  expect(diagnosis.best.candidates.several).toBe(diagnosis.best.candidates.one)
  expect(diagnosis.best.one.seeds).toBe(2)
  // Two seeds carry no verdict; and pooled training of other rates answers nothing that was asked.
  expect(diagnosis.verdict).toMatchObject({ kind: 'not-enough-evidence' })
  expect(existsSync(join(folder, 'seed-5/items/pooled.json'))).toBe(true)
  expect(existsSync(join(folder, 'learning-rate-0.03/seed-5/items/pooled.json'))).toBe(false)
})

test('one more seed goes on where the others ended, with the bytes of a simulation of its own', async () => {
  const folder = join(tiny.folder, 'more')
  const compare = ['base', '1x2', '2x1'] as const
  await replicate(tiny.base, tiny.clients, tiny.plan, { folder, seeds: 1, compare })
  const file = join(folder, 'seed-5/updates/1x2/1/north.update.safetensors')
  const { mtimeMs } = statSync(file)
  const { runs, diagnosis } = await replicate(tiny.base, tiny.clients, tiny.plan, {
    folder,
    seeds: 2,
    compare,
    resume: true,
  })
  expect(runs).toHaveLength(2)
  expect(statSync(file).mtimeMs).toBe(mtimeMs)
  const { arms } = await simulate(tiny.base, tiny.clients, await tiny.planOf({ ...options, seed: 6 }), { compare })
  if (!isKnown(diagnosis.comparison)) throw new Error('unknown')
  expect(diagnosis.comparison.perSeed[1]?.one).toBeCloseTo(
    arms.find(({ name }) => name === '1x2')?.overall.loss ?? Number.NaN,
    9,
  )
})

test('counts, rates and folders that cannot be meant are refused before anything trains', async () => {
  const folder = join(tiny.folder, 'refused')
  const run = (more: object) => replicate(tiny.base, tiny.clients, tiny.plan, { folder, ...more })
  await expect(run({ seeds: 0 })).rejects.toMatchObject({ code: 'ARGUMENT', expected: '1 to 100' })
  await expect(run({ seeds: 1.5 })).rejects.toMatchObject({ code: 'ARGUMENT' })
  for (const learningRates of [[0], [-1], [Number.NaN], [0.1, 0.1], Array.from({ length: 17 }, (_, i) => i + 1)])
    await expect(run({ learningRates })).rejects.toMatchObject({ code: 'ARGUMENT', expected: /up to 16 different/ })
  await expect(run({ margin: { share: 5 } })).rejects.toMatchObject({
    code: 'ARGUMENT',
    message: expect.stringMatching('margin'),
  })
  await expect(run({ budget: -1 })).rejects.toMatchObject({
    code: 'ARGUMENT',
    message: expect.stringMatching('budget'),
  })
  for (const compare of [
    ['base', '1x2'],
    ['1x2', '2x1'],
    ['base', '1x1', '2x1'],
  ])
    await expect(run({ compare })).rejects.toMatchObject({ code: 'ARGUMENT', fix: /base,1x2,2x1/ })
  const short = await tiny.planOf({ ...options, epochs: 1 })
  await expect(replicate(tiny.base, tiny.clients, short, { folder })).rejects.toMatchObject({ fix: /--epochs/ })
  const own = join(tiny.folder, 'a-run')
  await simulate(tiny.base, tiny.clients, tiny.plan, { folder: own, compare: ['1x2'] })
  await expect(run({ folder: own })).rejects.toMatchObject({ code: 'ARGUMENT', found: own })
  expect(existsSync(folder)).toBe(false)
})
