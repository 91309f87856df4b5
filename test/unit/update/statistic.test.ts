/** Statistics as files: the same numbers back, and everything that a hostile one may say. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { openAggregator } from '../../../src/aggregate/aggregator.js'
import { inspectFile } from '../../../src/update/inspect.js'
import { planSha256 } from '../../../src/update/plan.js'
import type { LayerStatistic, StatisticInfo, StatisticKind } from '../../../src/update/statistic.js'
import { openStatistic, writeStatistic } from '../../../src/update/statistic-file.js'
import { generator, plan, START, updateOf } from './fixture.js'

const folder = mkdtempSync(join(tmpdir(), 'oneround-statistic-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const at = (name: string) => join(folder, name)

const infoOf = (more: Partial<StatisticInfo> = {}): StatisticInfo => ({
  kind: 'fisher',
  client: 'a',
  planSha256: planSha256(plan),
  round: 1,
  startSha256: START,
  updateSha256: 'd'.repeat(64),
  ...more,
})

/** A sound statistic of either kind. */
function layersOf(kind: StatisticKind, seed = 1): Record<string, LayerStatistic> {
  const next = generator(seed)
  const squares = (count: number) => Float32Array.from({ length: count }, () => next() ** 2)
  return Object.fromEntries(
    plan.layers.map(({ name, in: size, out, rank }) => {
      if (kind === 'fisher') return [name, { fisherA: squares(rank * size), fisherB: squares(out * rank) }]
      const rows = Array.from({ length: 9 }, () => Float32Array.from({ length: size }, next))
      const inputs = Float32Array.from({ length: size * size }, (_, k) =>
        rows.reduce((sum, row) => sum + row[Math.floor(k / size)]! * row[k % size]!, 0),
      )
      return [name, { inputs }]
    }),
  )
}

describe.each(['fisher', 'regmean'] as const)('a statistic of %s', (kind) => {
  test('comes back from its file number by number, and the same one gives the same bytes', async () => {
    const layers = layersOf(kind)
    const saved = await writeStatistic(at(`${kind}.1`), plan, infoOf({ kind }), layers)
    expect(await writeStatistic(at(`${kind}.2`), plan, infoOf({ kind }), layers)).toEqual(saved)
    expect(readFileSync(at(`${kind}.2`)).equals(readFileSync(at(`${kind}.1`)))).toBe(true)
    const { info, layer } = await openStatistic(at(`${kind}.1`), plan)
    expect(info).toEqual(infoOf({ kind }))
    for (const [name, numbers] of Object.entries(layers)) expect(await layer(name)).toEqual(numbers)
  })

  test('is told by inspect, and judged by a plan', async () => {
    await writeStatistic(at('told'), plan, infoOf({ kind }), layersOf(kind))
    const told = await inspectFile(at('told'), plan)
    expect(told).toMatchObject({ kind: 'statistic', accepted: true })
    expect(told.fields.map(({ field }) => field)).toContain('update')
    expect(told.notes[0]).toContain('confidential')
    await writeStatistic(at('other'), plan, infoOf({ kind, planSha256: 'e'.repeat(64) }), layersOf(kind))
    expect((await inspectFile(at('other'), plan)).refusal?.message).toMatch(/client 'a'.*'plan'/)
  })

  test('without a layer of the plan is not written', async () => {
    const { [plan.layers[0]!.name]: _, ...rest } = layersOf(kind)
    await expect(writeStatistic(at('short'), plan, infoOf({ kind }), rest)).rejects.toThrow(/does not hold layer/)
  })
})

/** The file's header and its numbers, to be changed. */
function opened(file: string) {
  const bytes = readFileSync(at(file))
  const length = Number(bytes.readBigUInt64LE(0))
  const header = JSON.parse(bytes.subarray(8, 8 + length).toString()) as Record<string, Record<string, unknown>>
  const data = Buffer.from(bytes.subarray(8 + length))
  return { header, data }
}

type Opened = ReturnType<typeof opened>

describe('a hostile statistic is refused', () => {
  test.each<[string, StatisticKind, (file: Opened) => void, RegExp]>([
    ['NaN', 'fisher', ({ data }) => data.writeFloatLE(Number.NaN, 8), /client 'a'.*'finite'.*NaN/],
    ['infinity', 'regmean', ({ data }) => data.writeFloatLE(Number.POSITIVE_INFINITY, 0), /'finite'.*Infinity/],
    ['a negative square', 'fisher', ({ data }) => data.writeFloatLE(-1, 0), /'sign': -1 .*at least 0/],
    ['a negative diagonal', 'regmean', ({ data }) => data.writeFloatLE(-2, 0), /'sign': -2 on the diagonal/],
    ['an entry that no rows have', 'regmean', ({ data }) => data.writeFloatLE(900, 4), /'inputs': 900 off the diag/],
    ['a note in the metadata', 'fisher', ({ header }) => (header.__metadata__!.note = 'hello'), /'note'/],
    ['another version', 'fisher', ({ header }) => (header.__metadata__!['oneround.statistic'] = '2'), /statistic/],
    ['another kind', 'fisher', ({ header }) => (header.__metadata__!.kind = 'hessian'), /kind 'hessian'/],
    ['a round beyond all limits', 'fisher', ({ header }) => (header.__metadata__!.round = '1e9'), /round '1e9'/],
    ['a round in other words', 'fisher', ({ header }) => (header.__metadata__!.round = '1.0'), /'round': '1.0'/],
    ['a client that is a path', 'fisher', ({ header }) => (header.__metadata__!.client = '../a'), /client or a digest/],
    ['a digest that is none', 'fisher', ({ header }) => (header.__metadata__!.update = 'd'), /client or a digest/],
    ['the tensors of the other kind', 'fisher', ({ header }) => (header.__metadata__!.kind = 'regmean'), /'shape'/],
    [
      'bytes behind the end',
      'fisher',
      (file) => (file.data = Buffer.concat([file.data, Buffer.alloc(4)])),
      /not a sound safetensors/,
    ],
    [
      'a header with more space',
      'fisher',
      ({ header }) => (header[`${plan.layers[0]!.name}.fisher_A`]!.shape = [1, 12]),
      /shape/,
    ],
  ])('with %s', async (_, kind, change, says) => {
    await writeStatistic(at('bad'), plan, infoOf({ kind }), layersOf(kind))
    const file = opened('bad')
    change(file)
    writeOf(file)
    await expect(openStatistic(at('bad'), plan)).rejects.toThrow(says)
  })

  function writeOf(file: Opened): void {
    const text = Buffer.from(JSON.stringify(file.header))
    const padded = Buffer.alloc(8 + Math.ceil(text.length / 8) * 8, 0x20)
    padded.writeBigUInt64LE(BigInt(padded.length - 8))
    text.copy(padded, 8)
    writeFileSync(at('bad'), Buffer.concat([padded, file.data]))
  }

  test('with a second spelling of its header', async () => {
    await writeStatistic(at('spaced'), plan, infoOf(), layersOf('fisher'))
    const bytes = readFileSync(at('spaced'))
    const length = Number(bytes.readBigUInt64LE(0))
    const longer = Buffer.concat([bytes.subarray(0, 8 + length), Buffer.alloc(8, 0x20), bytes.subarray(8 + length)])
    longer.writeBigUInt64LE(BigInt(length + 8))
    writeFileSync(at('spaced'), longer)
    await expect(openStatistic(at('spaced'), plan)).rejects.toThrow(/another layout/)
  })

  test('that ends early, or is not there', async () => {
    await writeStatistic(at('torn'), plan, infoOf(), layersOf('fisher'))
    writeFileSync(at('torn'), readFileSync(at('torn')).subarray(0, -4))
    await expect(openStatistic(at('torn'), plan)).rejects.toThrow(expect.objectContaining({ code: 'MALFORMED' }))
    await expect(openStatistic(at('nowhere'), plan)).rejects.toThrow(expect.objectContaining({ code: 'NOT_FOUND' }))
  })
})

describe('an aggregation by files of statistics', () => {
  const updates = ['a', 'b'].map((client) => updateOf({ client }))
  const saved = Promise.all(updates.map((update) => update.save(at(`${update.info.client}.update.safetensors`))))
  const statistic = async (index: number, more: Partial<StatisticInfo> = {}, kind: StatisticKind = 'fisher') => {
    const { sha256: updateSha256 } = (await saved)[index]!
    const { client } = updates[index]!.info
    const file = at(`${client}.${kind}.${Object.keys(more).join('-')}`)
    await writeStatistic(file, plan, infoOf({ kind, client, updateSha256, ...more }), layersOf(kind, index + 1))
    return file
  }
  const summed = async () => {
    const sum = await openAggregator(plan)
    for (const { info } of updates) await sum.add(at(`${info.client}.update.safetensors`))
    return sum
  }

  test.each(['fisher', 'regmean'] as const)('has the bits that the numbers give (%s)', async (kind) => {
    const files = [await statistic(1, {}, kind), await statistic(0, {}, kind)]
    const sum = await summed()
    const byFile = await sum.finish({ method: kind, statistics: files })
    const numbers = { a: layersOf(kind, 1), b: layersOf(kind, 2) }
    expect(byFile.adapter.layers).toEqual((await sum.finish({ method: kind, statistics: numbers })).adapter.layers)
  })

  test.each<[string, Partial<StatisticInfo>, RegExp]>([
    ['another plan', { planSha256: 'f'.repeat(64) }, /client 'a'.*'plan': plan f+; must be plan/],
    ['another round', { round: 2 }, /'round': round 2; must be round 1/],
    ['another start', { startSha256: 'f'.repeat(64) }, /'start'/],
    ['another update', { updateSha256: 'f'.repeat(64) }, /'update': measured at update f+/],
    ['a client who sent nothing', { client: 'c' }, /'client': 'c'/],
  ])('refuses that of %s', async (_, more, says) => {
    const files = [await statistic(0, more), await statistic(1)]
    await expect((await summed()).finish({ method: 'fisher', statistics: files })).rejects.toThrow(says)
  })

  test('refuses the other method, one client twice, and a client without', async () => {
    const sum = await summed()
    const [a, b] = [await statistic(0), await statistic(1)]
    await expect(sum.finish({ method: 'regmean', statistics: [a, b] })).rejects.toThrow(/'kind': a statistic of fisher/)
    await expect(sum.finish({ method: 'fisher', statistics: [a, a] })).rejects.toThrow(/'once'/)
    await expect(sum.finish({ method: 'fisher', statistics: [a] })).rejects.toThrow(/client 'b'.*for layer/)
  })
})
