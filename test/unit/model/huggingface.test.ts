import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { openModel } from '../../../src/model/open.js'
import { type SafetensorsTensor, serializeSafetensors } from '../../../src/model/safetensors.js'

const tiny = fileURLToPath(new URL('../../../../shared/golden/tiny', import.meta.url))
if (!existsSync(tiny)) console.log(`skipped: specs of the golden cases, ${tiny} is not there`)

const config = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  hidden_size: 8,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  num_hidden_layers: 1,
  intermediate_size: 12,
  vocab_size: 16,
  rms_norm_eps: 1e-5,
  max_position_embeddings: 32,
  tie_word_embeddings: true,
  eos_token_id: [2, 3],
}
const dims: Record<string, number[]> = {
  'model.embed_tokens.weight': [16, 8],
  'model.norm.weight': [8],
  'model.layers.0.input_layernorm.weight': [8],
  'model.layers.0.post_attention_layernorm.weight': [8],
  'model.layers.0.self_attn.q_proj.weight': [8, 8],
  'model.layers.0.self_attn.k_proj.weight': [4, 8],
  'model.layers.0.self_attn.v_proj.weight': [4, 8],
  'model.layers.0.self_attn.o_proj.weight': [8, 8],
  'model.layers.0.mlp.gate_proj.weight': [12, 8],
  'model.layers.0.mlp.up_proj.weight': [12, 8],
  'model.layers.0.mlp.down_proj.weight': [8, 12],
}

function tensors(names = Object.keys(dims), fill = 1): Map<string, SafetensorsTensor> {
  return new Map(
    names.map((name) => {
      const shape = dims[name] ?? [8]
      return [name, { dtype: 'BF16', shape, data: new Uint8Array(2 * shape.reduce((a, b) => a * b, 1)).fill(fill) }]
    }),
  )
}

let folder = ''
let whole = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'oneround-hf-'))
  whole = join(folder, 'model.safetensors')
})
afterAll(() => rm(folder, { recursive: true }))
beforeEach(async () => {
  await writeFile(join(folder, 'config.json'), JSON.stringify(config))
  await writeFile(whole, serializeSafetensors(tensors(), {}))
})

async function opened(change: object) {
  await writeFile(join(folder, 'config.json'), JSON.stringify({ ...config, ...change }))
  return openModel(folder)
}

describe('a Hugging Face folder', () => {
  it('opens', async () => {
    const { spec } = await openModel(folder)
    expect(spec.shape).toMatchObject({ headDim: 4, kvHeads: 1, tied: true, vocabulary: 16 })
    expect(spec.eosToken).toBe(2)
    expect(spec.bytes).toBe(2 * spec.parameters)
    expect(spec.linearLayers[0]).toEqual({ name: 'model.layers.0.self_attn.q_proj', in: 8, out: 8 })
    expect(spec.shape.inverseFrequencies).toEqual(new Float64Array([1, 10_000 ** -0.5]))
  })

  it('reads rope settings wherever they stand', async () => {
    const old = await opened({ rope_theta: 100, rope_scaling: { type: 'linear', factor: 4 } })
    expect([...old.spec.shape.inverseFrequencies]).toEqual([0.25, 0.025])
    const scaling = {
      rope_type: 'llama3',
      factor: 8,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 64,
    }
    const top = await opened({ rope_theta: 500_000, rope_scaling: scaling })
    const nested = await opened({ rope_parameters: { rope_theta: 500_000, ...scaling } })
    expect(top.spec.shape.inverseFrequencies).toEqual(nested.spec.shape.inverseFrequencies)
    // wavelength 2 pi is below 64/4 and kept; 2 pi sqrt(500000) is far above 64 and divided by 8
    expect(top.spec.shape.inverseFrequencies[0]).toBe(1)
    expect(top.spec.shape.inverseFrequencies[1]).toBeCloseTo(500_000 ** -0.5 / 8, 15)
  })

  it.each([
    ['another architecture', { architectures: ['GemmaForCausalLM'], model_type: 'gemma' }, 'GemmaForCausalLM'],
    ['a class and a type that differ', { model_type: 'qwen2' }, 'qwen2'],
    ['attention biases', { attention_bias: true }, 'attention_bias'],
    ['mlp biases', { mlp_bias: true }, 'mlp_bias'],
    ['another activation', { hidden_act: 'gelu' }, 'gelu'],
    ['yarn', { rope_scaling: { rope_type: 'yarn', factor: 2 } }, 'yarn'],
    ['quantised weights', { quantization_config: { quant_method: 'gptq' } }, 'gptq'],
  ])('refuses %s by name', async (_what, change, name) => {
    await expect(opened(change)).rejects.toMatchObject({ code: 'UNSUPPORTED', message: expect.stringContaining(name) })
  })

  it.each([
    ['hidden_size', { hidden_size: 2 ** 40 }],
    ['num_attention_heads', { num_attention_heads: 3 }],
    ['num_hidden_layers', { num_hidden_layers: 1e9 }],
    ['rms_norm_eps', { rms_norm_eps: -1 }],
    ['rope_theta', { rope_theta: 'x' }],
    ['num_key_value_heads', { num_attention_heads: 4, num_key_value_heads: 3 }],
  ])('refuses a bad %s', async (_key, change) => {
    await expect(opened(change)).rejects.toMatchObject({ code: 'MALFORMED' })
  })

  it('refuses missing and extra tensors by name', async () => {
    await expect(opened({ tie_word_embeddings: false })).rejects.toMatchObject({
      code: 'NOT_FOUND',
      message: expect.stringContaining('lm_head'),
    })
    await writeFile(join(folder, 'config.json'), JSON.stringify(config))
    await writeFile(
      whole,
      serializeSafetensors(tensors([...Object.keys(dims), 'model.layers.0.self_attn.q_proj.bias']), {}),
    )
    await expect(openModel(folder)).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      found: 'model.layers.0.self_attn.q_proj.bias',
    })
  })

  it('has the same identity in shards; other weights or another rope have another', async () => {
    const before = await (await openModel(folder)).id()
    const rope = await (await opened({ rope_theta: 9 })).id()
    expect(rope.sha256).toBe(before.sha256)
    expect(rope.id).not.toBe(before.id)
    await writeFile(join(folder, 'config.json'), JSON.stringify(config))
    await writeFile(whole, serializeSafetensors(tensors(Object.keys(dims), 2), {}))
    expect((await (await openModel(folder)).id()).sha256).not.toBe(before.sha256)
    await rm(whole)
    const names = Object.keys(dims)
    const map: Record<string, string> = {}
    for (const [i, part] of [names.slice(0, 4), names.slice(4)].entries()) {
      const shard = `model-0000${i + 1}-of-00002.safetensors`
      for (const name of part) map[name] = shard
      await writeFile(join(folder, shard), serializeSafetensors(tensors(part), {}))
    }
    const index = join(folder, 'model.safetensors.index.json')
    await writeFile(index, JSON.stringify({ weight_map: map }))
    const sharded = await openModel(folder)
    expect(sharded.spec.files).toHaveLength(2)
    expect(await sharded.id()).toEqual(before)
    await writeFile(
      index,
      JSON.stringify({ weight_map: { ...map, 'model.norm.weight': '../other/model.safetensors' } }),
    )
    await expect(openModel(folder)).rejects.toMatchObject({ code: 'MALFORMED' })
    await writeFile(index, JSON.stringify({ weight_map: { ...map, ghost: 'model-00001-of-00002.safetensors' } }))
    await expect(openModel(folder)).rejects.toMatchObject({
      code: 'MALFORMED',
      found: expect.stringContaining('ghost'),
    })
    await rm(index)
    await expect(openModel(folder)).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })

  it('says what it cannot open and what is missing', async () => {
    await expect(openModel('hub:org')).rejects.toMatchObject({ code: 'ARGUMENT', found: 'hub:org' })
    await expect(openModel(folder, { revision: 'main' })).rejects.toMatchObject({ code: 'ARGUMENT' })
    await expect(openModel(join(folder, 'none'))).rejects.toMatchObject({ code: 'NOT_FOUND' })
    await expect(openModel(whole)).rejects.toMatchObject({ code: 'UNSUPPORTED' })
    const model = await openModel(folder)
    expect(() => model.tokenizer).toThrow(
      expect.objectContaining({ code: 'NOT_FOUND', fix: expect.stringContaining('tokenizer.json') }),
    )
    await model.close()
    await model.close()
    await expect(model.id()).rejects.toMatchObject({ code: 'CLOSED' })
  })
})

describe.skipIf(!existsSync(tiny))('golden models', () => {
  it.each(['llama', 'llama_tied_bf16', 'llama3_rope', 'llama_rslora_q_v'])('%s opens', async (name) => {
    const { spec } = await openModel(join(tiny, name, 'model'))
    expect(spec.shape).toMatchObject({
      layers: 2,
      hidden: 48,
      heads: 4,
      kvHeads: 2,
      headDim: 12,
      intermediate: 88,
      vocabulary: 131,
    })
    expect(spec.shape.tied).toBe(name === 'llama_tied_bf16')
    expect(spec.tensors[0]?.type).toBe(name === 'llama_tied_bf16' ? 'BF16' : 'F32')
    expect(spec.linearLayers).toHaveLength(14)
  })
})
