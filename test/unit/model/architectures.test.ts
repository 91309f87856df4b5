/** The decoders besides Llama: what of their config.json is read, what is refused by name, how their tensors lie. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { expectedTensors } from '../../../src/model/modules.js'
import { type Model, openModel } from '../../../src/model/open.js'
import { type SafetensorsTensor, serializeSafetensors } from '../../../src/model/safetensors.js'
import type { DecoderShape } from '../../../src/native/binding/decoder.js'

const sizes = {
  hidden_size: 8,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  num_hidden_layers: 1,
  intermediate_size: 12,
  vocab_size: 16,
  tie_word_embeddings: true,
}
const configs = {
  llama: { ...sizes, architectures: ['LlamaForCausalLM'], model_type: 'llama' },
  mistral: { ...sizes, architectures: ['MistralForCausalLM'], model_type: 'mistral', sliding_window: null },
  qwen2: { ...sizes, architectures: ['Qwen2ForCausalLM'], model_type: 'qwen2' },
  qwen3: { ...sizes, architectures: ['Qwen3ForCausalLM'], model_type: 'qwen3', head_dim: 6 },
  gpt2: {
    architectures: ['GPT2LMHeadModel'],
    model_type: 'gpt2',
    n_embd: 8,
    n_head: 2,
    n_layer: 1,
    n_positions: 32,
    vocab_size: 16,
    activation_function: 'gelu_new',
  },
} as const
type Name = keyof typeof configs

const plain: DecoderShape = {
  vocabulary: 16,
  hidden: 8,
  layers: 1,
  heads: 2,
  kvHeads: 1,
  headDim: 4,
  intermediate: 12,
  normEpsilon: 1e-6,
  tied: true,
  inverseFrequencies: new Float64Array([1, 0.01]),
  names: 'llama',
  layerNorm: false,
  gelu: false,
  fusedAttention: false,
  qkvBias: false,
  otherBias: false,
  queryKeyNorm: false,
  window: 0,
  learnedPositions: 0,
}
/** The shapes that the configurations above stand for, written out. */
const shapes: Record<Name, DecoderShape> = {
  llama: plain,
  mistral: plain,
  qwen2: { ...plain, qkvBias: true },
  qwen3: {
    ...plain,
    queryKeyNorm: true,
    headDim: 6,
    inverseFrequencies: Float64Array.from([0, 1, 2], (i) => 10_000 ** ((-2 * i) / 6)),
  },
  gpt2: {
    ...plain,
    kvHeads: 2,
    intermediate: 32,
    normEpsilon: 1e-5,
    inverseFrequencies: new Float64Array(),
    names: 'gpt2',
    layerNorm: true,
    gelu: true,
    fusedAttention: true,
    qkvBias: true,
    otherBias: true,
    learnedPositions: 32,
  },
}

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'oneround-architectures-'))
})
afterAll(() => rm(folder, { recursive: true }))

type Dims = Map<string, number[]>

/** Names and stored shapes of a folder's tensors. */
function dimsOf(name: Name): Dims {
  const turn = name === 'gpt2'
  return new Map(
    [...expectedTensors(shapes[name])].map((t) => [t.name, turn && t.linear ? [...t.dims].reverse() : t.dims]),
  )
}

async function opened(config: object, dims: Dims): Promise<Model> {
  const tensors = new Map<string, SafetensorsTensor>(
    [...dims].map(([name, shape]) => {
      const count = shape.reduce((a, b) => a * b, 1)
      return [name, { dtype: 'F32', shape, data: new Uint8Array(4 * count) }]
    }),
  )
  await writeFile(join(folder, 'config.json'), JSON.stringify(config))
  await writeFile(join(folder, 'model.safetensors'), serializeSafetensors(tensors, {}))
  return openModel(folder)
}

const names = Object.keys(configs) as Name[]

describe('the table of architectures', () => {
  it.each(names)('%s opens as the shape that its config.json means, and the addon takes it', async (name) => {
    await using model = await opened(configs[name], dimsOf(name))
    expect(model.spec.architecture).toBe(name)
    expect(model.spec.shape).toEqual(shapes[name])
    expect(model.weights.bytes).toBe(model.spec.bytes)
  })

  it.each(names)('%s has no tensor too many or too few', async (name) => {
    for (const tensor of dimsOf(name).keys()) {
      const dims = dimsOf(name)
      dims.delete(tensor)
      await expect(opened(configs[name], dims)).rejects.toMatchObject({
        code: 'NOT_FOUND',
        message: expect.stringContaining(tensor),
      })
    }
    const extra = dimsOf(name).set('model.layers.0.mlp.experts.weight', [8])
    await expect(opened(configs[name], extra)).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      message: expect.stringContaining('mlp.experts.weight'),
    })
  })

  it('names the linear layers that adapters can take', async () => {
    const layers = async (name: Name) => (await opened(configs[name], dimsOf(name))).spec.linearLayers
    expect(await layers('qwen3')).toEqual([
      { name: 'model.layers.0.self_attn.q_proj', in: 8, out: 12 },
      { name: 'model.layers.0.self_attn.k_proj', in: 8, out: 6 },
      { name: 'model.layers.0.self_attn.v_proj', in: 8, out: 6 },
      { name: 'model.layers.0.self_attn.o_proj', in: 12, out: 8 },
      { name: 'model.layers.0.mlp.gate_proj', in: 8, out: 12 },
      { name: 'model.layers.0.mlp.up_proj', in: 8, out: 12 },
      { name: 'model.layers.0.mlp.down_proj', in: 12, out: 8 },
    ])
    expect(await layers('gpt2')).toEqual([
      { name: 'transformer.h.0.attn.c_attn', in: 8, out: 24 },
      { name: 'transformer.h.0.attn.c_proj', in: 8, out: 8 },
      { name: 'transformer.h.0.mlp.c_fc', in: 8, out: 32 },
      { name: 'transformer.h.0.mlp.c_proj', in: 32, out: 8 },
    ])
  })

  it.each<[Name, object, string]>([
    ['llama', { attention_bias: true }, 'attention_bias'],
    ['llama', { mlp_bias: true }, 'mlp_bias'],
    ['mistral', { hidden_act: 'gelu' }, 'hidden_act'],
    ['mistral', { partial_rotary_factor: 0.5 }, 'partial_rotary_factor'],
    ['qwen2', { use_sliding_window: true, sliding_window: 8 }, 'use_sliding_window'],
    ['qwen2', { layer_types: ['sliding_attention'] }, 'sliding_attention'],
    ['qwen2', { rope_scaling: { type: 'yarn', factor: 4 } }, 'yarn'],
    ['qwen3', { attention_bias: true }, 'attention_bias'],
    ['qwen3', { use_sliding_window: true }, 'use_sliding_window'],
    ['gpt2', { activation_function: 'gelu' }, 'activation_function'],
    ['gpt2', { scale_attn_by_inverse_layer_idx: true }, 'scale_attn_by_inverse_layer_idx'],
    ['gpt2', { scale_attn_weights: false }, 'scale_attn_weights'],
    ['gpt2', { add_cross_attention: true }, 'add_cross_attention'],
    ['gpt2', { quantization_config: { quant_method: 'awq' } }, 'awq'],
  ])('%s with %o is refused by name', async (name, change, told) => {
    await expect(opened({ ...configs[name], ...change }, dimsOf(name))).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      message: expect.stringContaining(told),
    })
  })

  it.each<[Name, object]>([
    ['mistral', { sliding_window: 0 }],
    ['mistral', { sliding_window: 'long' }],
    ['qwen3', { head_dim: 5 }],
    ['gpt2', { n_embd: 9 }],
    ['gpt2', { n_inner: -1 }],
    ['gpt2', { n_positions: 2 ** 30 }],
    ['gpt2', { layer_norm_epsilon: 0 }],
  ])('%s with a bad %o is refused', async (name, change) => {
    await expect(opened({ ...configs[name], ...change }, dimsOf(name))).rejects.toMatchObject({ code: 'MALFORMED' })
  })
})

describe('Mistral', () => {
  it('has the window of its file; without the key, that of transformers', async () => {
    const window = async (change: object) => {
      const { sliding_window: _, ...rest } = configs.mistral
      return (await opened({ ...rest, ...change }, dimsOf('mistral'))).spec.shape.window
    }
    expect(await window({ sliding_window: null })).toBe(0)
    expect(await window({ sliding_window: 7 })).toBe(7)
    expect(await window({})).toBe(4096)
  })

  it('is another model with another window', async () => {
    const id = async (window: number) =>
      (await (await opened({ ...configs.mistral, sliding_window: window }, dimsOf('mistral'))).id()).id
    expect(await id(7)).not.toBe(await id(8))
  })
})

describe('GPT-2', () => {
  it('opens with and without the prefix of its names, and without the masks that old files hold', async () => {
    const dims: Dims = new Map([...dimsOf('gpt2')].map(([name, shape]) => [name.replace('transformer.', ''), shape]))
    dims.set('h.0.attn.bias', [1, 1, 32, 32]).set('h.0.attn.masked_bias', [1]).set('lm_head.weight', [16, 8])
    const { tensors } = (await opened(configs.gpt2, dims)).spec
    expect(tensors.map(({ name }) => name)).toEqual([...dimsOf('gpt2').keys()])
    const both = dimsOf('gpt2').set('wte.weight', [16, 8])
    await expect(opened(configs.gpt2, both)).rejects.toMatchObject({ code: 'MALFORMED' })
  })

  it('has its linear weights turned, nothing else', async () => {
    const { tensors } = (await opened(configs.gpt2, dimsOf('gpt2'))).spec
    const turned = tensors.filter(({ transposed }) => transposed)
    expect(turned.map(({ shape }) => shape)).toEqual([
      [8, 24],
      [8, 8],
      [8, 32],
      [32, 8],
    ])
    expect(turned.every(({ name }) => name.startsWith('transformer.h.0.'))).toBe(true)
    const upright = dimsOf('gpt2').set('transformer.h.0.attn.c_attn.weight', [24, 8])
    await expect(opened(configs.gpt2, upright)).rejects.toMatchObject({ code: 'MALFORMED', expected: '[8,24]' })
  })

  it('takes n_inner and its own head', async () => {
    const dims = dimsOf('gpt2')
    dims.set('transformer.h.0.mlp.c_fc.weight', [8, 20]).set('transformer.h.0.mlp.c_fc.bias', [20])
    dims.set('transformer.h.0.mlp.c_proj.weight', [20, 8]).set('lm_head.weight', [16, 8])
    const { shape } = (await opened({ ...configs.gpt2, n_inner: 20, tie_word_embeddings: false }, dims)).spec
    expect(shape).toMatchObject({ intermediate: 20, tied: false })
  })
})
