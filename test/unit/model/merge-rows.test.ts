/** Rows of base + adapter: the bits of each type, the order of rows, and what is measured on the way. */
import { readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { expectedTensors } from '../../../src/model/modules.js'
import type { DecoderShape } from '../../../src/native/binding/decoder.js'
import type { MergeRequest } from '../../../src/native/binding/merge.js'
import type { NativeWeights, TensorPlacement } from '../../../src/native/binding/weights.js'
import { native } from '../../../src/native/load.js'

const golden = JSON.parse(readFileSync(new URL('encoded.json', import.meta.url), 'utf8')) as Record<string, string>
const bytesOf = (type: string) => Buffer.from(golden[type] ?? '', 'base64')
const shape: DecoderShape = {
  ...{ vocabulary: 8, hidden: 64, layers: 1, heads: 4, kvHeads: 2, headDim: 16, intermediate: 32 },
  ...{ normEpsilon: 1e-5, tied: true, names: 'llama', layerNorm: false, gelu: false, fusedAttention: false },
  ...{ qkvBias: false, otherBias: false, queryKeyNorm: false, window: 0, learnedPositions: 0 },
  inverseFrequencies: new Float64Array(8).fill(0.5),
}
const embedding = 'model.embed_tokens.weight'
const q = 'model.layers.0.self_attn.q_proj.weight'

let folder: string
let weights: NativeWeights
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'rows-'))
  const file = join(folder, 'weights')
  // every tensor reads the same numbers, the golden ones first and again
  const numbers = Buffer.concat(Array.from({ length: 16 }, () => bytesOf('F32')))
  await writeFile(file, numbers)
  const tensors = [...expectedTensors(shape)].map(
    ({ name, dims }): TensorPlacement => ({
      ...{ name, file: 0, offset: 0, type: 'F32', shape: dims, interleavedHeads: 0, transposed: false },
    }),
  )
  weights = new (native().Weights)(shape, [file], tensors)
})
afterAll(() => rm(folder, { recursive: true }))

const rows = (change: Partial<MergeRequest>) =>
  native().mergeRows(weights, {
    ...{ tensor: embedding, firstRow: 0, rows: 8, type: 'F32', transposed: false, interleavedHeads: 0 },
    ...change,
  })
const floats = (bytes: Uint8Array) => new Float32Array(Uint8Array.from(bytes).buffer)

describe('mergeRows', () => {
  it.each(['F32', 'F16', 'BF16', 'Q8_0'] as const)(
    'writes the bytes that numpy and gguf-py write: %s',
    async (type) => {
      const { bytes, squaredChange, overflows } = await rows({ type })
      expect(Buffer.from(bytes).equals(bytesOf(type))).toBe(true)
      expect([squaredChange, overflows]).toEqual([0, 0])
    },
  )

  it('gives the same bytes in pieces', async () => {
    const pieces = await Promise.all(
      [0, 3, 5].map((firstRow, i) => rows({ firstRow, rows: [3, 2, 3][i] ?? 0, type: 'Q8_0' })),
    )
    expect(Buffer.concat(pieces.map(({ bytes }) => bytes)).equals(bytesOf('Q8_0'))).toBe(true)
  })

  it('adds scale B A and a delta in double, and measures what rounding changed', async () => {
    const a = Float32Array.from({ length: 2 * 64 }, (_, i) => Math.sin(i))
    const b = Float32Array.from({ length: 8 * 2 }, (_, i) => Math.cos(i))
    const delta = Float32Array.from({ length: 8 * 64 }, (_, i) => Math.sin(3 * i) / 7)
    const merged = await rows({ factors: { rank: 2, scale: 0.25, a, b }, delta, deltaTransposed: false })
    const base = floats(bytesOf('F32'))
    let squares = 0
    for (const [i, value] of floats(merged.bytes).entries()) {
      const [row, col] = [Math.floor(i / 64), i % 64]
      const product = (b[2 * row] ?? 0) * (a[col] ?? 0) + (b[2 * row + 1] ?? 0) * (a[64 + col] ?? 0)
      const change = 0.25 * product + (delta[i] ?? 0)
      squares += change * change
      expect(value).toBe(Math.fround((base[i] ?? 0) + change))
    }
    expect(merged.squaredChange / squares).toBeCloseTo(1, 12)
    const turned = new Float32Array(delta.length)
    for (let r = 0; r < 8; r++) for (let c = 0; c < 64; c++) turned[c * 8 + r] = delta[r * 64 + c] ?? 0
    const same = await rows({ factors: { rank: 2, scale: 0.25, a, b }, delta: turned, deltaTransposed: true })
    expect(same.bytes).toEqual(merged.bytes)
    const across = await rows({
      firstRow: 0,
      rows: 64,
      transposed: true,
      factors: { rank: 2, scale: 0.25, a, b },
      delta,
      deltaTransposed: false,
    })
    const values = floats(across.bytes)
    for (const [i, value] of floats(merged.bytes).entries())
      expect(values[(i % 64) * 8 + Math.floor(i / 64)]).toBe(value)
    const coarse = await rows({ type: 'BF16', delta, deltaTransposed: false })
    expect(coarse.squaredError).toBeGreaterThan(1e6 * merged.squaredError)
  })

  it("writes q's rows in llama.cpp's order: (h, p, i) becomes (h, i, p)", async () => {
    const plain = floats((await rows({ tensor: q, rows: 64 })).bytes)
    const ordered = floats((await rows({ tensor: q, rows: 64, interleavedHeads: 4 })).bytes)
    for (let row = 0; row < 64; row++) {
      const [h, p, i] = [Math.floor(row / 16), Math.floor((row % 16) / 8), row % 8]
      const at = h * 16 + 2 * i + p
      expect(ordered.subarray(at * 64, at * 64 + 64)).toEqual(plain.subarray(row * 64, row * 64 + 64))
    }
  })

  it('counts what a type cannot hold, and refuses what does not fit', async () => {
    const delta = new Float32Array(8 * 64)
    delta[5] = 1e6
    expect((await rows({ type: 'F16', delta, deltaTransposed: false })).overflows).toBe(1)
    const wrong: Partial<MergeRequest>[] = [
      { tensor: 'nothing.weight' },
      { firstRow: 7, rows: 2 },
      { type: 'Q4_1' },
      { interleavedHeads: 3 },
      { factors: { rank: 2, scale: 1, a: new Float32Array(3), b: new Float32Array(16) } },
      { delta: new Float32Array(3), deltaTransposed: false },
    ]
    for (const change of wrong) await expect(rows(change)).rejects.toMatchObject({ code: 'ARGUMENT' })
  })
})
