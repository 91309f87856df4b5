/** Adapters of llama.cpp and MLX: what a file must hold, and the sentence where it does not. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type AdapterLayer, makeAdapter } from '../../../src/adapter/adapter.js'
import { convert } from '../../../src/adapter/convert.js'
import { checkFits } from '../../../src/adapter/fits.js'
import { foldScales } from '../../../src/adapter/fold.js'
import { loadGgufAdapter } from '../../../src/adapter/gguf-adapter.js'
import { saveGgufAdapter } from '../../../src/adapter/gguf-adapter-save.js'
import { loadMlx } from '../../../src/adapter/mlx.js'
import { saveMlx } from '../../../src/adapter/mlx-save.js'
import { LEAST_SHARE, Survival } from '../../../src/adapter/survival.js'
import { readGguf } from '../../../src/model/gguf.js'
import { ggufSpec } from '../../../src/model/gguf-decoder.js'
import { type GgufEntry, layOutGguf } from '../../../src/model/gguf-write.js'
import { readSafetensors, serializeSafetensors } from '../../../src/model/safetensors.js'
import type { ModelSpec } from '../../../src/model/spec.js'
import { inspectFile } from '../../../src/update/inspect.js'
import { buildGguf, tinyDecoder } from '../model/gguf-builder.js'

let folder: string
let llama: ModelSpec
let gpt2: ModelSpec
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'forms-'))
  const spec = async (architecture: 'llama' | 'gpt2') => {
    const file = join(folder, `${architecture}.gguf`)
    const { entries, tensors } = tinyDecoder(architecture)
    await writeFile(file, buildGguf(entries, tensors))
    return ggufSpec(file, await readGguf(file))
  }
  llama = await spec('llama')
  gpt2 = await spec('gpt2')
})
afterAll(() => rm(folder, { recursive: true }))

let counter = 0
const numbers = (length: number) => Float32Array.from({ length }, () => Math.sin(++counter * 12.9898))
function layer(name: string, rank: number, scale: number, spec = llama): AdapterLayer {
  const found = spec.linearLayers.find((one) => one.name === name)
  if (found === undefined) throw new Error(`no ${name}`)
  const { in: inputs, out } = found
  return { name, in: inputs, out, rank, scale, a: numbers(rank * inputs), b: numbers(out * rank) }
}
const q = 'model.layers.0.self_attn.q_proj'
const up = 'model.layers.0.mlp.up_proj'

describe('a GGUF adapter', () => {
  it("holds llama's q in llama.cpp's row order, other layers as they are, and A untouched", async () => {
    const file = join(folder, 'order.gguf')
    const layers = [layer(q, 2, 2), layer(up, 2, 2)]
    await saveGgufAdapter(makeAdapter(layers), file, llama)
    const gguf = await readGguf(file)
    expect(gguf.metadata.get('adapter.lora.alpha')).toBe(4)
    const bytes = await readFile(file)
    const read = (name: string) => {
      const tensor = gguf.tensors.find((one) => one.name === name)
      const at = tensor?.offset ?? 0
      return new Float32Array(Uint8Array.from(bytes.subarray(at, at + (tensor?.bytes ?? 0))).buffer)
    }
    const [first, second] = layers
    expect(read('blk.0.attn_q.weight.lora_a')).toEqual(first?.a)
    expect(read('blk.0.ffn_up.weight.lora_b')).toEqual(second?.b)
    // 4 heads of 8: row (h, p, i) lies at (h, i, p)
    const b = read('blk.0.attn_q.weight.lora_b')
    for (let row = 0; row < 32; row++) {
      const at = Math.floor(row / 8) * 8 + 2 * (row % 4) + Math.floor((row % 8) / 4)
      expect(b.subarray(2 * at, 2 * at + 2)).toEqual(first?.b.subarray(2 * row, 2 * row + 2))
    }
    expect((await loadGgufAdapter(file, llama)).layers).toEqual(layers)
  })

  it('does not transpose the factors of GPT-2', async () => {
    const file = join(folder, 'gpt2-adapter.gguf')
    const one = layer('transformer.h.0.attn.c_attn', 2, 2, gpt2)
    await saveGgufAdapter(makeAdapter([one]), file, gpt2)
    const shapes = (await readGguf(file)).tensors.map(({ name, shape }) => [name, shape])
    expect(shapes).toEqual([
      ['blk.0.attn_qkv.weight.lora_a', [2, one.in]],
      ['blk.0.attn_qkv.weight.lora_b', [one.out, 2]],
    ])
  })

  it('writes alpha sqrt(r) for rsLoRA, and folds what differs into B with a note', async () => {
    const file = join(folder, 'rslora.gguf')
    const root = [layer(q, 2, 8 / Math.sqrt(2)), layer(up, 2, 8 / Math.sqrt(2))]
    expect((await saveGgufAdapter(makeAdapter(root), file, llama)).join()).toContain('single precision')
    expect((await readGguf(file)).metadata.get('adapter.lora.alpha')).toBe(Math.fround(8 * Math.sqrt(2)))
    const mixed = [layer(q, 2, 2), layer(up, 2, 3)]
    const notes = await saveGgufAdapter(makeAdapter(mixed), file, llama)
    expect(notes.join()).toContain(up)
    const back = (await loadGgufAdapter(file, llama)).layers
    for (const [i, value] of (back[1]?.b ?? []).entries()) expect(value).toBe(Math.fround((mixed[1]?.b[i] ?? 0) * 1.5))
    expect(back[0]?.b).toEqual(mixed[0]?.b)
  })

  const sound: GgufEntry[] = [
    ['general.type', 'string', 'adapter'],
    ['general.architecture', 'string', 'llama'],
    ['adapter.type', 'string', 'lora'],
    ['adapter.lora.alpha', 'f32', 4],
  ]
  const pair = (tensor: string, inputs = 32, out = 32) => [
    { name: `${tensor}.lora_a`, type: 'F32', shape: [2, inputs] },
    { name: `${tensor}.lora_b`, type: 'F32', shape: [out, 2] },
  ]
  const without = (key: string) => sound.filter(([name]) => name !== key)
  const cases: [string, GgufEntry[], ReturnType<typeof pair>, object][] = [
    [
      'no alpha',
      without('adapter.lora.alpha'),
      pair('blk.0.attn_q.weight'),
      { code: 'MALFORMED', found: 'no adapter.lora.alpha' },
    ],
    [
      'another architecture',
      [...without('general.architecture'), ['general.architecture', 'string', 'qwen2']],
      pair('blk.0.attn_q.weight'),
      { code: 'MISMATCH', found: 'qwen2', expected: 'llama' },
    ],
    ['an unknown tensor', sound, pair('blk.7.attn_q.weight'), { code: 'MISMATCH', found: 'blk.7.attn_q.weight' }],
    [
      'another size',
      sound,
      pair('blk.0.attn_q.weight', 16),
      { code: 'MISMATCH', found: 'in 16, out 32', expected: 'in 32, out 32' },
    ],
    ['half a pair', sound, pair('blk.0.attn_q.weight').slice(0, 1), { code: 'MALFORMED', found: 'lora_a' }],
    [
      'another suffix',
      sound,
      [{ name: 'blk.0.attn_q.weight', type: 'F32', shape: [2, 2] }],
      { code: 'UNSUPPORTED', found: 'blk.0.attn_q.weight' },
    ],
    ['no layer', sound, [], { code: 'MALFORMED' }],
  ]
  it.each(cases)('is refused with %s', async (_, entries, tensors, expected) => {
    const file = join(folder, 'bad.gguf')
    const { header, bytes } = layOutGguf(entries, tensors)
    await writeFile(file, Buffer.concat([header, Buffer.alloc(bytes - header.length)]))
    await expect(loadGgufAdapter(file, llama)).rejects.toMatchObject(expected)
  })
})

describe('an MLX adapter', () => {
  it('is transposed, with the scale as such', async () => {
    const out = join(folder, 'mlx')
    const layers = [layer(q, 2, 2), layer(up, 2, 2)]
    expect(await saveMlx(makeAdapter(layers), out)).toEqual([])
    const { tensors } = await readSafetensors(join(out, 'adapters.safetensors'))
    const a = tensors.get(`${q}.lora_a`)
    expect(a?.shape).toEqual([32, 2])
    expect(new Float32Array(a?.data.slice().buffer ?? new ArrayBuffer(0))[1]).toBe(layers[0]?.a[32])
    const config = JSON.parse(await readFile(join(out, 'adapter_config.json'), 'utf8')) as object
    expect(config).toEqual({
      ...{ fine_tune_type: 'lora', num_layers: -1 },
      lora_parameters: { rank: 2, scale: 2, dropout: 0, keys: ['mlp.up_proj', 'self_attn.q_proj'] },
    })
    expect((await loadMlx(out)).layers.map(({ name, scale }) => [name, scale])).toEqual([
      [up, 2],
      [q, 2],
    ])
    expect(await inspectFile(out)).toMatchObject({ kind: 'mlx adapter' })
  })

  it('has one rank: lower ones are filled up with zeros, and that is said', async () => {
    const out = join(folder, 'mlx-ranks')
    const layers = [layer(q, 2, 2), layer(up, 3, 2)]
    expect((await saveMlx(makeAdapter(layers), out)).join()).toContain(q)
    const back = (await loadMlx(out)).layers.find(({ name }) => name === q)
    expect(back?.rank).toBe(3)
    expect(back?.a.subarray(0, 64)).toEqual(layers[0]?.a)
    expect(back?.a.subarray(64).every((value) => value === 0)).toBe(true)
    for (let row = 0; row < 32; row++) {
      expect(back?.b.subarray(3 * row, 3 * row + 2)).toEqual(layers[0]?.b.subarray(2 * row, 2 * row + 2))
      expect(back?.b[3 * row + 2]).toBe(0)
    }
  })

  it.each([
    ['a missing scale', { fine_tune_type: 'lora', lora_parameters: { rank: 2 } }, 'MALFORMED'],
    ['DoRA', { fine_tune_type: 'dora', lora_parameters: { rank: 2, scale: 1 } }, 'UNSUPPORTED'],
  ])('is refused with %s', async (_, config, code) => {
    const out = join(folder, 'mlx-bad')
    await saveMlx(makeAdapter([layer(q, 2, 2)]), out)
    await writeFile(join(out, 'adapter_config.json'), JSON.stringify(config))
    await expect(loadMlx(out)).rejects.toMatchObject({ code })
  })

  it('is refused with half a pair or a tensor that is none', async () => {
    const out = join(folder, 'mlx-half')
    await saveMlx(makeAdapter([layer(q, 2, 2)]), out)
    const file = join(out, 'adapters.safetensors')
    const { tensors, metadata } = await readSafetensors(file)
    const half = new Map([...tensors].filter(([name]) => name.endsWith('lora_b')))
    await writeFile(file, serializeSafetensors(half, metadata))
    await expect(loadMlx(out)).rejects.toMatchObject({
      code: 'MALFORMED',
      found: 'lora_b',
      expected: 'lora_a and lora_b',
    })
    await writeFile(
      file,
      serializeSafetensors(new Map([...tensors, ['lm_head.weight', [...tensors.values()][0] as never]]), metadata),
    )
    await expect(loadMlx(out)).rejects.toMatchObject({ code: 'UNSUPPORTED', found: 'lm_head.weight' })
  })
})

describe('converting', () => {
  it('refuses dense deltas by name where a form cannot hold them, and leaves nothing behind', async () => {
    const dense = [{ name: `${up}.weight`, shape: [64, 32], values: numbers(2048) }]
    const adapter = makeAdapter([layer(q, 2, 2)], dense)
    const out = join(folder, 'none')
    await expect(saveMlx(adapter, out)).rejects.toMatchObject({ code: 'UNSUPPORTED' })
    await expect(saveGgufAdapter(adapter, join(out, 'a.gguf'), llama)).rejects.toMatchObject({ code: 'UNSUPPORTED' })
    expect((await readdir(folder)).includes('none')).toBe(false)
  })

  it('refuses layers and sizes that the base does not have', () => {
    const stranger = { ...layer(q, 2, 2), name: 'model.layers.9.self_attn.q_proj' }
    expect(() => checkFits(makeAdapter([stranger]), llama)).toThrow('model.layers.9.self_attn.q_proj')
    const wide = makeAdapter([{ ...layer(q, 2, 2), in: 33, a: numbers(66) }])
    expect(() => checkFits(wide, llama)).toThrow('another size')
    const dense = [{ name: `${up}.weight`, shape: [32, 64], values: numbers(2048) }]
    expect(() => checkFits(makeAdapter([], dense), llama)).toThrow('another size')
  })

  it('names what an order of flags cannot mean', async () => {
    const out = join(folder, 'peft')
    await makeAdapter([layer(q, 2, 2)]).save(out)
    const o = { out: join(folder, 'x') }
    await expect(convert(out, { ...o, to: 'gguf' })).rejects.toMatchObject({ code: 'ARGUMENT', found: 'no --base' })
    await expect(convert(out, { ...o, to: 'hf' })).rejects.toMatchObject({ code: 'ARGUMENT' })
    await expect(convert(out, { ...o, to: 'mlx', type: 'F16' })).rejects.toMatchObject({ code: 'ARGUMENT' })
    await expect(convert(folder, { ...o, to: 'mlx' })).rejects.toMatchObject({ code: 'UNSUPPORTED' })
  })

  it('folds a power of two without a note', () => {
    const folded = foldScales([layer(q, 2, 2), layer(up, 2, 8)], () => 2)
    expect(folded.rounded).toEqual([])
    expect(folded.layers[1]?.scale).toBe(2)
  })
})

describe('the share of dW that survives', () => {
  const survival = (...squares: [change: number, error: number][]) => {
    const result = new Survival()
    for (const [i, [squaredChange, squaredError]] of squares.entries())
      result.add(`t${i}`, { squaredBase: 100, squaredChange, squaredError }, true)
    return result
  }
  it('is 1 - |error| / |dW| over all changed tensors, and not below 0', () => {
    expect(survival([4, 1]).report().share).toBe(0.5)
    expect(survival([1, 9]).report().share).toBe(0)
    expect(survival([9, 0], [16, 1]).report()).toMatchObject({ share: 0.8, worst: { tensor: 't1', share: 0.75 } })
  })
  it('refuses below nine tenths, and says how much is left', () => {
    expect(LEAST_SHARE).toBe(0.9)
    expect(() => survival([10_000, 99]).check('BF16')).not.toThrow()
    expect(() => survival([10_000, 121 * 100]).check('BF16')).toThrow('too much')
    expect(() => new Survival().check('BF16')).not.toThrow()
  })
})
