import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import * as zlib from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { loadExamples } from '../../../../src/data/load.js'
import { type ParquetLimits, readParquet } from '../../../../src/data/parquet/read.js'
import { Slices } from '../../../../src/data/slices.js'
import { byteTokenizer } from '../byte-tokenizer.js'
import { type Lies, parquetFile } from './builder.js'

const fixture = (name: string) => fileURLToPath(new URL(`files/${name}.parquet`, import.meta.url))

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'oneround-parquet-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

async function file(bytes: Uint8Array, name = 'data.parquet'): Promise<string> {
  const path = join(folder, name)
  await writeFile(path, bytes)
  return path
}

async function rowsOf(path: string, needed: string[] = [], limits: ParquetLimits = {}): Promise<object[]> {
  const rows: object[] = []
  await readParquet(path, needed, new Slices(), async (row) => void rows.push(row), limits)
  return rows
}

const built = async (texts?: string[], lies?: Lies) => rowsOf(await file(parquetFile(texts, lies)))

const every = [
  {
    prompt: '1 + 1 =',
    completion: ' 2',
    count: 1,
    small: 1,
    ratio: 0.5,
    yes: true,
    day: '2024-02-29',
    at: '2024-02-29T01:02:03.456789Z',
    messages: [
      { role: 'user', content: 'hi' },
      { role: 'assistant', content: 'hello' },
    ],
  },
  {
    prompt: 'café 😀',
    completion: 'b',
    count: '9007199254740993',
    small: null,
    ratio: 1.25,
    yes: null,
    day: null,
    at: null,
    messages: [],
  },
  {
    prompt: null,
    completion: 'c',
    count: null,
    small: 3,
    ratio: null,
    yes: false,
    day: '1969-12-31',
    at: '1969-12-31T23:59:59.000001Z',
    messages: null,
  },
  {
    prompt: 'x'.repeat(300),
    completion: 'd',
    count: -7,
    small: 4,
    ratio: -2,
    yes: true,
    day: '0001-01-01',
    at: '2000-01-01T00:00:00.000Z',
    messages: [{ role: 'user', content: null }],
  },
]

describe('values', () => {
  it.each(['every', 'pages2'])('are what JSON would hold: %s', async (name) => {
    expect(await rowsOf(fixture(name), ['messages'])).toEqual(every)
  })

  it('of nested columns are read only where they are needed', async () => {
    const flat = every.map(({ messages: _, ...rest }) => rest)
    expect(await rowsOf(fixture('every'))).toEqual(flat)
  })

  it('of a type without a place in JSON are refused by name where they are needed', async () => {
    await expect(rowsOf(fixture('every'), ['price'])).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      message: expect.stringContaining('"price"'),
      found: 'decimal',
    })
  })

  it('of a built file are its texts', async () => {
    expect(await built(['one', '', 'zwölf'])).toEqual([{ text: 'one' }, { text: '' }, { text: 'zwölf' }])
  })

  it('come in many portions', async () => {
    const texts = Array.from({ length: 700 }, (_, i) => `${i} `.repeat(100))
    expect(await built(texts)).toEqual(texts.map((text) => ({ text })))
  })
})

describe('codecs', () => {
  const zstd = 'zstdDecompressSync' in zlib
  const names = ['none', 'snappy', 'gzip', 'brotli', ...(zstd ? ['zstd'] : [])]
  it.each(names)('%s is read', async (name) => {
    const two = every.map(({ prompt, completion }) => ({ prompt, completion }))
    expect(await rowsOf(fixture(name))).toEqual(two)
  })

  it.each(['lz4', ...(zstd ? [] : ['zstd'])])('%s is refused by name', async (name) => {
    await expect(rowsOf(fixture(name))).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      found: expect.stringContaining(name),
      fix: expect.stringContaining('snappy'),
    })
  })
})

describe('a dataset', () => {
  const options = { cutoff: 512, lossOn: 'all' as const, tokenizer: byteTokenizer({ end: false }) }

  it('is loaded from a .parquet file, hashed, with its fields for splitting', async () => {
    const path = await file(parquetFile(['one', 'two']))
    const data = await loadExamples(path, { ...options, template: 'text' })
    expect(data.examples.map(({ ids }) => options.tokenizer.decode([...ids]))).toEqual(['one', 'two'])
    expect(data.files[0]?.sha256).toBe(createHash('sha256').update(readFileSync(path)).digest('hex'))
    const two = await loadExamples(path, { ...options, template: '{text}!', keep: ['text'] })
    expect(two.examples.map((example) => example.fields)).toEqual([{ text: 'one' }, { text: 'two' }])
  })

  it('refuses a missing value with file and row', async () => {
    await expect(loadExamples(fixture('every'), { ...options, template: 'prompt-completion' })).rejects.toMatchObject({
      code: 'MALFORMED',
      message: expect.stringContaining('line 3: the field "prompt"'),
    })
  })

  it('refuses a column that is not there', async () => {
    await expect(loadExamples(fixture('none'), { ...options, template: 'text' })).rejects.toMatchObject({
      code: 'MALFORMED',
      found: 'the fields prompt, completion',
    })
  })
})

describe('a file that lies', () => {
  const cases: [name: string, lies: Lies][] = [
    ['rows', { rows: 3 }],
    ['rows without end', { rows: 2 ** 40, groupRows: 2 ** 40 }],
    ['values', { values: 3 }],
    ['values in a page', { pageValues: 3 }],
    ['fewer values in a page', { pageValues: 1 }],
    ['a page longer than the column', { compressed: 2 ** 20 }],
    ['a negative page', { compressed: -1 }],
    ['a page that would grow a thousandfold', { uncompressed: 2 ** 20, codec: 1 }],
    ['another size without compression', { uncompressed: 5 }],
    ['a column behind the end', { length: 2 ** 20 }],
    ['a column before the beginning', { start: 1 }],
    ['a column in the footer', { start: 60 }],
    ['a codec that is not snappy', { codec: 1 }],
    ['the name __proto__', { name: '__proto__' }],
    ['no name', { name: '' }],
    ['more children than entries', { children: 1000 }],
    ['no children', { children: 0 }],
    ['texts behind their page', { body: [2, 0, 0, 0, 4, 1, 255, 255, 255, 127, 97] }],
    ['text that is not UTF-8', { body: [2, 0, 0, 0, 4, 1, 1, 0, 0, 0, 255, 1, 0, 0, 0, 97] }],
    ['levels that do not end', { body: [2, 0, 0, 0, 255, 255, 255, 255] }],
    ['a list without end', { footer: (sound) => [0x19, 0xfc, 255, 255, 255, 255, 15, ...sound] }],
    ['a number without end', { footer: () => Array(10_000).fill(0xff) }],
    ['structs without end', { footer: () => Array(100_000).fill(0x1c) }],
    ['an empty footer', { footer: () => [0] }],
    ['no footer', { footer: () => [] }],
  ]
  it.each(cases)('about %s is refused', async (_, lies) => {
    await expect(built(['one', 'two'], lies)).rejects.toMatchObject({ code: 'MALFORMED', fix: expect.any(String) })
  })

  it.each([0, 1, 4, 8, 11, 12, 40])('and ends after %i bytes is refused', async (bytes) => {
    const path = await file(parquetFile().subarray(0, bytes))
    await expect(rowsOf(path)).rejects.toMatchObject({ code: 'MALFORMED' })
  })

  it('and has another beginning, or an encrypted footer, is refused', async () => {
    const other = parquetFile()
    other[0] = 0
    await expect(rowsOf(await file(other))).rejects.toMatchObject({ code: 'MALFORMED' })
    const encrypted = parquetFile()
    encrypted[encrypted.length - 1] = 'E'.charCodeAt(0)
    await expect(rowsOf(await file(encrypted))).rejects.toMatchObject({ code: 'UNSUPPORTED' })
  })

  it('and has more rows in a group than fit is told to have smaller ones', async () => {
    const rows = 2 ** 22 + 1
    const path = await file(
      parquetFile(['a'.repeat(2 ** 20)], { rows, groupRows: rows, values: rows, pageValues: rows }),
    )
    await expect(rowsOf(path)).rejects.toMatchObject({ code: 'MEMORY', fix: expect.stringContaining('row_group_size') })
  })

  it('and brings down its decoder leaves this process whole', { timeout: 120_000 }, async () => {
    // a run of two thousand million levels, which the library lays out one by one
    const body = [6, 0, 0, 0, 254, 255, 255, 255, 15, 1]
    const path = await file(parquetFile(['one', 'two'], { body }))
    const failure = { code: 'MEMORY', fix: expect.stringContaining('do not trust it') }
    await expect(rowsOf(path, [], { heap: 128 })).rejects.toMatchObject(failure)
    await expect(rowsOf(path, [], { time: 50 })).rejects.toMatchObject({
      ...failure,
      found: 'no rows within 0 seconds',
    })
    await expect(rowsOf(path, [], { signal: AbortSignal.timeout(50) })).rejects.toMatchObject({ code: 'ABORTED' })
    expect(await built()).toHaveLength(2)
  })
})
