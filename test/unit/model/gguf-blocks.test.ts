/** Every block type of GGUF through the addon, bit for bit what the gguf package decodes; gguf-blocks.py wrote the file. */
import { readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { GGML_TYPES } from '../../../src/model/gguf-types.js'
import { openModel } from '../../../src/model/open.js'
import { blockElements, isStorageType, storageBytes } from '../../../src/model/storage.js'
import { native } from '../../../src/native/load.js'
import { buildGguf, tinyDecoder } from './gguf-builder.js'

interface Fixture {
  rows: number
  columns: number
  cases: { type: string; number: number; blocks: string; values: string }[]
}

const fixture = JSON.parse(readFileSync(new URL('gguf-blocks.json', import.meta.url), 'utf8')) as Fixture
const { rows, columns, cases } = fixture

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'oneround-blocks-'))
})
afterAll(() => rm(folder, { recursive: true }))

/** Bits of f32 numbers: -0 is not 0 here. */
function bitsOf(bytes: Uint8Array): Uint32Array {
  return new Uint32Array(Uint8Array.from(bytes).buffer)
}

/** A GGUF Llama whose embedding is these blocks, and those numbers as the addon makes them. */
async function decoded(blocks: Buffer, number: number): Promise<Float32Array> {
  const { entries, tensors } = tinyDecoder('llama', {}, 14) // a type with blocks of 256: hidden is 256
  const size = GGML_TYPES.get(number)
  if (size === undefined) throw new Error(`no type ${number}`)
  const [embedding, ...others] = tensors
  const bytes = ((rows * columns) / size.elements) * size.bytes
  expect(blocks.length).toBe(bytes)
  const list = [{ ...embedding!, ne: [columns, rows], type: number, bytes }, ...others]
  const file = buildGguf(entries, list)
  const data = list.reduce((sum, tensor) => sum + Math.ceil(tensor.bytes / 32) * 32, 0)
  blocks.copy(file, file.length - data)
  const path = join(folder, `${number}.gguf`)
  await writeFile(path, file)
  await using model = await openModel(path)
  const session = new (native().Session)(model.weights, {
    slots: [{ kind: 'dense', tensor: 'model.embed_tokens.weight' }],
    overlay: [],
    threads: 1,
    rowsPerPass: 4,
    longestExample: 4,
    training: false,
  })
  try {
    session.loadBase()
    return session.parameters()
  } finally {
    session.close()
  }
}

describe('blocks of GGUF', () => {
  it('are all there', () => {
    const quantised = [...GGML_TYPES.values()].filter(({ name }) => isStorageType(name) && blockElements(name) > 1)
    expect(cases.map(({ type }) => type).sort()).toEqual(quantised.map(({ name }) => name).sort())
  })

  it.each(cases)('$type is decoded bit for bit', async ({ type, number, blocks, values }) => {
    const stored = Buffer.from(blocks, 'base64')
    if (isStorageType(type)) expect(storageBytes(type, [rows, columns])).toBe(stored.length)
    const got = await decoded(stored, number)
    const expected = bitsOf(Buffer.from(values, 'base64'))
    const bits = new Uint32Array(got.buffer, got.byteOffset, got.length)
    expect(bits.length).toBe(rows * columns)
    const wrong = [...expected.keys()].filter((i) => bits[i] !== expected[i])
    expect(
      wrong.slice(0, 5).map((i) => [i, got[i]]),
      `${wrong.length} numbers differ`,
    ).toEqual([])
  })
})
