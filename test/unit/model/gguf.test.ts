import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parseGguf, readGguf } from '../../../src/model/gguf.js'
import { ggufSpec } from '../../../src/model/gguf-decoder.js'
import { openModel } from '../../../src/model/open.js'
import { buildGguf, type Entry, tinyDecoder } from './gguf-builder.js'
import { flipBits, refused } from './hostile.js'

const shared = fileURLToPath(new URL('../../../../shared', import.meta.url))
const smol = join(shared, 'models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf')
const stories = join(shared, 'models/stories260K/stories260K-f32.gguf')
if (!existsSync(smol)) console.log(`skipped: GGUF tests on real models, ${smol} is not there`)

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'oneround-gguf-'))
})
afterAll(() => rm(folder, { recursive: true }))

async function specOf(change: Record<string, Entry[2]> = {}, type = 0) {
  const { entries, tensors } = tinyDecoder('llama', change, type)
  const bytes = buildGguf(entries, tensors)
  const file = join(folder, 'm.gguf')
  await writeFile(file, bytes)
  return ggufSpec(file, await readGguf(file))
}

describe('a GGUF Llama', () => {
  it('gets names, shapes and row orders of Hugging Face', async () => {
    const spec = await specOf()
    const at = (name: string) => spec.tensors.find((tensor) => tensor.name === name)
    expect(at('model.layers.0.self_attn.q_proj.weight')).toMatchObject({
      shape: [32, 32],
      interleavedHeads: 4,
      type: 'F32',
    })
    expect(at('model.layers.0.self_attn.k_proj.weight')).toMatchObject({ shape: [16, 32], interleavedHeads: 2 })
    expect(at('model.layers.0.self_attn.v_proj.weight')).toMatchObject({ shape: [16, 32], interleavedHeads: 0 })
    expect(at('model.layers.0.mlp.down_proj.weight')).toMatchObject({ shape: [32, 64], interleavedHeads: 0 })
    expect(spec.shape).toMatchObject({ tied: true, headDim: 8, vocabulary: 8 })
    expect(spec.linearLayers).toHaveLength(7)
  })

  it.each([0, 1, 2, 3, 6, 7, 8, 10, 11, 12, 13, 14, 30])('opens type %i', async (type) => {
    expect((await specOf({}, type)).tensors).toHaveLength(11)
  })

  it('names what it does not support', async () => {
    await expect(specOf({}, 20)).rejects.toMatchObject({ code: 'UNSUPPORTED', found: 'IQ4_NL' })
    await expect(specOf({}, 28)).rejects.toMatchObject({ code: 'UNSUPPORTED', found: 'F64' })
    await expect(specOf({ 'general.architecture': 'gemma' })).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      found: 'gemma',
    })
    await expect(specOf({ 'llama.attention.sliding_window': 4096 })).rejects.toThrow(/sliding_window/)
    await expect(specOf({ 'llama.expert_count': 8 })).rejects.toMatchObject({ code: 'UNSUPPORTED' })
    await expect(specOf({ 'llama.rope.scaling.type': 'yarn' })).rejects.toThrow(/yarn/)
    await expect(specOf({ 'split.count': 2 })).rejects.toMatchObject({ code: 'UNSUPPORTED' })
    await expect(specOf({ 'llama.rope.dimension_count': 4 })).rejects.toMatchObject({ code: 'UNSUPPORTED' })
  })

  it('divides frequencies by rope_freqs.weight', async () => {
    const { entries, tensors } = tinyDecoder('llama')
    tensors.push({ name: 'rope_freqs.weight', ne: [4], type: 0, bytes: 16 })
    const bytes = buildGguf(entries, tensors)
    for (const [i, factor] of [1, 2, 4, 8].entries()) bytes.writeFloatLE(factor, bytes.length - 32 + 4 * i)
    const file = join(folder, 'rope.gguf')
    await writeFile(file, bytes)
    const plain = (await specOf()).shape.inverseFrequencies
    const { inverseFrequencies } = (await openModel(file)).spec.shape
    expect([...inverseFrequencies]).toEqual([...plain].map((value, i) => value / 2 ** i))
    bytes.writeFloatLE(0, bytes.length - 32)
    await writeFile(file, bytes)
    await expect(openModel(file)).rejects.toMatchObject({ code: 'MALFORMED' })
  })

  it('refuses missing, extra and misshapen tensors by name', async () => {
    const { entries, tensors } = tinyDecoder('llama')
    const open = async (list: typeof tensors) => {
      const file = join(folder, 'x.gguf')
      await writeFile(file, buildGguf(entries, list))
      return openModel(file)
    }
    await expect(open(tensors.slice(0, -1))).rejects.toThrow(/model\.norm\.weight/)
    await expect(open([...tensors, { name: 'blk.0.attn_q.bias', ne: [32], type: 0, bytes: 128 }])).rejects.toThrow(
      /attn_q\.bias/,
    )
    const wrong = tensors.map((t) => (t.name === 'blk.0.attn_v.weight' ? { ...t, ne: [32, 8], bytes: 1024 } : t))
    await expect(open(wrong)).rejects.toMatchObject({ code: 'MALFORMED', expected: '[16,32]' })
  })
})

describe('GGUF of other architectures', () => {
  async function opened(
    architecture: 'qwen2' | 'qwen3' | 'gpt2',
    change: Record<string, Entry[2]> = {},
    drop?: string,
  ) {
    const { entries, tensors } = tinyDecoder(architecture, change)
    const file = join(folder, 'other.gguf')
    await writeFile(
      file,
      buildGguf(entries, drop === undefined ? tensors : tensors.filter(({ name }) => name !== drop)),
    )
    return openModel(file)
  }

  it.each(['qwen2', 'qwen3', 'gpt2'] as const)('%s opens, and the addon takes it', async (architecture) => {
    await using model = await opened(architecture)
    expect(model.spec.architecture).toBe(architecture)
    expect(model.weights.bytes).toBe(model.spec.bytes)
    // only Llama's converter changes the order of rows, and GPT-2's turns Conv1D's weights back
    expect(model.spec.tensors.every((t) => t.interleavedHeads === 0 && !t.transposed)).toBe(true)
  })

  it('GPT-2 has its fused layer as [out, in], its positions and every bias', async () => {
    const { spec } = await opened('gpt2')
    const shapes = Object.fromEntries(spec.tensors.map(({ name, shape }) => [name, shape]))
    expect(shapes['transformer.h.0.attn.c_attn.weight']).toEqual([96, 32])
    expect(shapes['transformer.h.0.mlp.c_proj.weight']).toEqual([32, 64])
    expect(shapes['transformer.wpe.weight']).toEqual([64, 32])
    expect(spec.shape).toMatchObject({ learnedPositions: 64, kvHeads: 4, layerNorm: true, tied: true })
    await expect(opened('gpt2', { 'gpt2.context_length': 65 })).rejects.toMatchObject({ code: 'MALFORMED' })
    await expect(opened('gpt2', { 'gpt2.attention.head_count_kv': 2 })).rejects.toMatchObject({ code: 'MALFORMED' })
    for (const bias of ['blk.0.attn_qkv.bias', 'blk.0.ffn_norm.bias', 'output_norm.bias']) {
      await expect(opened('gpt2', {}, bias)).rejects.toMatchObject({ code: 'NOT_FOUND' })
    }
  })

  it('Qwen has its biases, or its norms and a head dimension of its own', async () => {
    await expect(opened('qwen2', {}, 'blk.0.attn_k.bias')).rejects.toThrow(/k_proj\.bias/)
    await expect(opened('qwen3', {}, 'blk.0.attn_q_norm.weight')).rejects.toThrow(/q_norm\.weight/)
    await expect(opened('qwen3', { 'qwen3.attention.key_length': 16 })).rejects.toMatchObject({
      code: 'MALFORMED',
      expected: '[64,32]',
    })
    await expect(opened('qwen2', { 'qwen2.rope.scaling.type': 'yarn' })).rejects.toThrow(/yarn/)
    await expect(opened('qwen2', { 'qwen2.expert_count': 4 })).rejects.toThrow(/expert_count/)
  })
})

describe.skipIf(!existsSync(smol))('real GGUF files', () => {
  it('SmolLM2 opens in under a second with its sizes, every tensor within the file', async () => {
    const start = performance.now()
    const model = await openModel(smol)
    expect(performance.now() - start).toBeLessThan(1000)
    const { spec } = model
    expect(spec.shape).toMatchObject({
      layers: 30,
      hidden: 576,
      heads: 9,
      kvHeads: 3,
      headDim: 64,
      intermediate: 1536,
      vocabulary: 49152,
      tied: true,
    })
    expect(spec).toMatchObject({ parameters: 134_515_008, bosToken: 1, eosToken: 2, maxPositions: 8192 })
    const { tensors, fileBytes } = await readGguf(smol)
    const ordered = [...tensors].sort((a, b) => a.offset - b.offset)
    for (const [i, tensor] of ordered.entries()) {
      const end = ordered[i + 1]?.offset ?? fileBytes
      expect(end - tensor.offset).toBeGreaterThanOrEqual(tensor.bytes)
      expect(end - tensor.offset - tensor.bytes).toBeLessThan(32)
    }
    // Q8_0 embedding: 49152 * 576 / 32 blocks of 34 bytes; first of the data, which begins behind the header's padding
    expect(tensors[0]).toMatchObject({ name: 'token_embd.weight', type: 'Q8_0', bytes: 30_081_024, offset: 1_785_664 })
  })

  it('stories260K opens; its digests do not change', async () => {
    const model = await openModel(stories)
    expect(model.spec.shape).toMatchObject({ layers: 5, hidden: 64, heads: 8, kvHeads: 4, tied: false })
    expect(model.tokenizer.vocabulary).toBe(512)
    const [first, second] = [await model.id(), await (await openModel(stories)).id()]
    expect(second).toEqual(first)
    expect(new Set([first.id, first.sha256, first.tokenizerSha256]).size).toBe(3)
    await model.close()
    expect(() => model.tokenizer).toThrow(/closed/)
  })
})

describe('hostile GGUF', () => {
  const { entries, tensors } = tinyDecoder('llama', {
    'tokenizer.ggml.tokens': { of: 8, values: ['a', 'b', 'ab'] },
    'tokenizer.ggml.token_type': { of: 5, values: [1, 1, 1] },
  })
  const sound = buildGguf(entries, tensors)
  const header = sound.length - tensors.reduce((sum, { bytes }) => sum + bytes, 0)

  it('is refused wherever it is cut', () => {
    expect(refused(() => parseGguf(sound, 'sound'))).toBe(false)
    for (let length = 0; length < sound.length; length += length < header ? 1 : 97) {
      expect(refused(() => parseGguf(sound.subarray(0, length), 'cut'))).toBe(true)
    }
  })

  it('with flipped bits is refused or read, never anything else', () => {
    expect(flipBits(sound, 4000, header, (bytes) => parseGguf(bytes, 'flipped'))).toBeGreaterThan(1000)
  })

  it('with absurd counts, lengths and offsets is refused before anything is allocated', () => {
    const huge = [2n ** 16n + 1n, 2n ** 32n, 2n ** 53n, 2n ** 64n - 1n]
    const start = performance.now()
    for (const n of huge) {
      expect(refused(() => parseGguf(buildGguf(entries, tensors, { counts: [n, 1n] }), 'tensors'))).toBe(true)
      expect(refused(() => parseGguf(buildGguf(entries, tensors, { counts: [1n, n] }), 'entries'))).toBe(true)
      const long = Buffer.from(sound)
      long.writeBigUInt64LE(n, 24) // the first key's length
      expect(refused(() => parseGguf(long, 'key'))).toBe(true)
      const array = Buffer.from(sound)
      array.writeBigUInt64LE(n, sound.indexOf('tokenizer.ggml.tokens') + 'tokenizer.ggml.tokens'.length + 8)
      expect(refused(() => parseGguf(array, 'array'))).toBe(true)
    }
    for (const offset of [1, 32, 2 ** 40]) {
      expect(refused(() => parseGguf(buildGguf(entries, [{ ...tensors[0]!, offset }]), 'offset'))).toBe(true)
    }
    const overlap = tensors.map((t, i) => (i === 1 ? { ...t, offset: 0 } : t))
    expect(refused(() => parseGguf(buildGguf(entries, overlap), 'overlap'))).toBe(true)
    for (const ne of [[0], [2 ** 40, 2 ** 40], [1, 1, 1, 1, 1]]) {
      expect(refused(() => parseGguf(buildGguf(entries, [{ ...tensors[0]!, ne }]), 'dimensions'))).toBe(true)
    }
    expect(refused(() => parseGguf(buildGguf([...entries, entries[0]!], tensors), 'key twice'))).toBe(true)
    expect(refused(() => parseGguf(buildGguf(entries, [tensors[0]!, tensors[0]!]), 'tensor twice'))).toBe(true)
    expect(refused(() => parseGguf(buildGguf([['general.alignment', 4, 3]], []), 'alignment'))).toBe(true)
    expect(refused(() => parseGguf(buildGguf(entries, tensors, { version: 1 }), 'version'))).toBe(true)
    expect(performance.now() - start).toBeLessThan(1000)
  })
})
