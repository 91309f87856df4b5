import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeAdapter } from '../../../src/adapter/adapter.js'
import { openAggregator } from '../../../src/aggregate/aggregator.js'
import { averageFiles } from '../../../src/aggregate/file-mean.js'
import { randomUpdate, tinyPlan, updateOf } from './dense.js'

const folder = mkdtempSync(join(tmpdir(), 'oneround-mean-'))
const plan = tinyPlan([
  { name: 'x.up', in: 1300, out: 23, rank: 4, scale: 2 },
  { name: 'x.down', in: 30, out: 1029, rank: 4, scale: 2 },
])
const names = ['cyd', 'ann', 'bob']
const updates = names.map((name, i) => randomUpdate(plan, name, 5 + i, { examples: i + 2 }))
const file = (name: string) => join(folder, `${name}.update.safetensors`)
const files = names.map(file)

beforeAll(async () => {
  for (const update of updates) await update.save(file(update.info.client))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

test('is the adapter of fedit, bit for bit, for any order and threads', async () => {
  const aggregator = await openAggregator(plan)
  for (const update of updates) await aggregator.add(update)
  const { adapter, weights } = await aggregator.finish({ method: 'fedit' })
  for (const threads of [1, 3]) {
    const mean = await averageFiles(plan, threads === 1 ? files : [...files].reverse(), { threads })
    expect(mean.adapter.layers).toEqual(adapter.layers)
    expect(mean.weights).toEqual(weights)
  }
  const only = await averageFiles(plan, files, { weights: { ann: 1, bob: 0, cyd: 0 } })
  expect(only.adapter.layers).toEqual(updates[1]!.adapter.layers)
})

test('many files, and tensors longer than what is summed at a time', async () => {
  const small = tinyPlan([{ name: 'x.up', in: 18000, out: 5, rank: 4, scale: 2 }])
  const some = [1, 2, 3].map((seed) => randomUpdate(small, 'ann', seed).adapter.layers)
  const many = Array.from({ length: 150 }, (_, i) =>
    updateOf(small, `client-${String(i).padStart(3, '0')}`, makeAdapter(some[i % 3]!), { examples: i + 1 }),
  )
  const paths = many.map(({ info }) => file(info.client))
  for (const [i, update] of many.entries()) await update.save(paths[i]!)
  const aggregator = await openAggregator(small)
  for (const update of many) await aggregator.add(update)
  const { adapter } = await aggregator.finish({ method: 'fedit' })
  for (const threads of [1, 2])
    expect((await averageFiles(small, paths, { threads })).adapter.layers).toEqual(adapter.layers)
})

describe('refuses', () => {
  const spoiled = async (name: string, change: (layers: { a: Float32Array; b: Float32Array }[]) => void) => {
    const layers = updates[0]!.adapter.layers.map((layer) => ({ ...layer, a: layer.a.slice(), b: layer.b.slice() }))
    change(layers)
    await updateOf(plan, name, makeAdapter(layers)).save(file(name))
    return averageFiles(plan, [...files, file(name)])
  }
  test.each<[string, (layers: { a: Float32Array; b: Float32Array }[]) => void, RegExp]>([
    ['nan', ([layer]) => layer!.a.fill(Number.NaN, 4999, 5000), /'nan'.*'finite'.*x\.up.*lora_A/],
    ['infinite', ([, layer]) => layer!.b.fill(Number.POSITIVE_INFINITY, 0, 1), /'infinite'.*'finite'.*x\.down.*lora_B/],
    ['loud', ([layer]) => layer!.b.fill(1e6), /'loud'.*'norm'.*x\.up/],
    ['idle', (layers) => layers.forEach((layer) => void layer.b.fill(0)), /'idle'.*'non-zero'/],
  ])('%s', async (name, change, says) => {
    await expect(spoiled(name, change)).rejects.toThrow(
      expect.objectContaining({ code: 'REFUSED', message: expect.stringMatching(says) }),
    )
  })

  test('plans of which only a part of the factors trains: files with both would bring their own A', async () => {
    const layers = [{ name: 'x.up', in: 13, out: 7, rank: 4, scale: 2 }]
    for (const kind of ['ffa', 'fed-sb'] as const) {
      const shared = tinyPlan(layers, { method: kind }, ['examples', 'tokens'], { kind })
      const forged = file(`forged-${kind}`)
      await randomUpdate(shared, 'ann', 3).save(forged)
      await expect(averageFiles(shared, [forged])).rejects.toMatchObject({ code: 'UNSUPPORTED', found: kind })
    }
  })

  test('a client twice, another plan, a short file, nothing', async () => {
    await expect(averageFiles(plan, [...files, files[0]!])).rejects.toThrow(/'once'/)
    const other = tinyPlan([{ name: 'x.up', in: 1300, out: 23, rank: 4, scale: 2 }])
    await expect(averageFiles(other, files)).rejects.toThrow(expect.objectContaining({ code: 'REFUSED' }))
    const bytes = readFileSync(files[0]!)
    writeFileSync(file('short'), bytes.subarray(0, bytes.length - 4))
    await expect(averageFiles(plan, [file('short')])).rejects.toThrow(expect.objectContaining({ code: 'MALFORMED' }))
    await expect(averageFiles(plan, [file('nobody')])).rejects.toMatchObject({ code: 'NOT_FOUND' })
    await expect(averageFiles(plan, [folder])).rejects.toMatchObject({ code: 'MALFORMED' })
    writeFileSync(file('head'), bytes.subarray(0, 20))
    await expect(averageFiles(plan, [file('head')])).rejects.toMatchObject({ code: 'MALFORMED' })
    await expect(averageFiles(plan, [])).rejects.toThrow(expect.objectContaining({ code: 'ARGUMENT' }))
  })
})
