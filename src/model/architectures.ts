import type { DecoderShape } from '../native/binding/decoder.js'

export type ArchitectureName = 'llama' | 'mistral' | 'qwen2' | 'qwen3' | 'gpt2'

/** What of a decoder its architecture decides alone. */
type DecoderParts = Pick<
  DecoderShape,
  'names' | 'layerNorm' | 'gelu' | 'fusedAttention' | 'qkvBias' | 'otherBias' | 'queryKeyNorm'
>

/** Where config.json keeps the numbers. A key that is absent here is not asked for. */
interface ConfigKeys {
  hidden: string
  layers: string
  heads: string
  /** absent: as many as heads */
  kvHeads?: string
  /** absent: hidden / heads */
  headDim?: string
  intermediate: string
  normEpsilon: string
  positions: string
  window?: string
}

/** What transformers' configuration class takes where config.json lacks the key. */
interface ConfigDefaults {
  positions: number
  normEpsilon: number
  tied: boolean
  headDim?: number
  /** keys that a query sees; null in the file means all */
  window?: number
  /** of the hidden size, where the feed-forward width is null */
  intermediateFactor?: number
}

/** One row of the table of decoders that can be opened; a new one is a new row. */
export interface Architecture {
  name: ArchitectureName
  /** transformers' class, in config.json's `architectures` */
  className: string
  /** config.json's `model_type` */
  modelType: string
  /** general.architecture of GGUF; absent: llama.cpp converts it under another's name */
  gguf?: string
  parts: DecoderParts
  /** rotary positions; otherwise a learned table */
  rotary: boolean
  /** llama.cpp's converter lays the rows of q and k head by head in pairs */
  ggufInterleaved: boolean
  /** Hugging Face's files hold linear weights as [in, out] (Conv1D) */
  transposed: boolean
  /** a prefix that Hugging Face's files of a bare model leave out */
  optionalPrefix?: string
  keys: ConfigKeys
  defaults: ConfigDefaults
  /** settings with one value that is computed as they say; another value, where it is there, is refused by name */
  only: Readonly<Record<string, string | boolean>>
  /** tensors (buffers) that some writers keep although nothing needs them */
  leftovers: RegExp
}

const PLAIN: DecoderParts = {
  names: 'llama',
  layerNorm: false,
  gelu: false,
  fusedAttention: false,
  qkvBias: false,
  otherBias: false,
  queryKeyNorm: false,
}
const KEYS: ConfigKeys = {
  hidden: 'hidden_size',
  layers: 'num_hidden_layers',
  heads: 'num_attention_heads',
  kvHeads: 'num_key_value_heads',
  headDim: 'head_dim',
  intermediate: 'intermediate_size',
  normEpsilon: 'rms_norm_eps',
  positions: 'max_position_embeddings',
}
const ROTARY = {
  parts: PLAIN,
  rotary: true,
  ggufInterleaved: false,
  transposed: false,
  keys: KEYS,
  leftovers: /\.rotary_emb\.inv_freq$/,
} satisfies Partial<Architecture>
const DEFAULTS: ConfigDefaults = { positions: 2048, normEpsilon: 1e-6, tied: false }

/** Facts of transformers' configuration_*.py and modeling_*.py, and of llama.cpp's convert_hf_to_gguf.py. */
export const ARCHITECTURES: readonly Architecture[] = [
  {
    ...ROTARY,
    name: 'llama',
    className: 'LlamaForCausalLM',
    modelType: 'llama',
    gguf: 'llama',
    ggufInterleaved: true,
    defaults: DEFAULTS,
    only: { hidden_act: 'silu', attention_bias: false, mlp_bias: false },
  },
  {
    ...ROTARY,
    name: 'mistral',
    className: 'MistralForCausalLM',
    modelType: 'mistral',
    keys: { ...KEYS, window: 'sliding_window' },
    defaults: { ...DEFAULTS, positions: 131_072, window: 4096 },
    only: { hidden_act: 'silu', attention_bias: false },
  },
  {
    ...ROTARY,
    name: 'qwen2',
    className: 'Qwen2ForCausalLM',
    modelType: 'qwen2',
    gguf: 'qwen2',
    parts: { ...PLAIN, qkvBias: true },
    defaults: { ...DEFAULTS, positions: 32_768 },
    only: { hidden_act: 'silu', use_sliding_window: false },
  },
  {
    ...ROTARY,
    name: 'qwen3',
    className: 'Qwen3ForCausalLM',
    modelType: 'qwen3',
    gguf: 'qwen3',
    parts: { ...PLAIN, queryKeyNorm: true },
    defaults: { ...DEFAULTS, positions: 32_768, headDim: 128 },
    only: { hidden_act: 'silu', attention_bias: false, use_sliding_window: false },
  },
  {
    name: 'gpt2',
    className: 'GPT2LMHeadModel',
    modelType: 'gpt2',
    gguf: 'gpt2',
    parts: {
      names: 'gpt2',
      layerNorm: true,
      gelu: true,
      fusedAttention: true,
      qkvBias: true,
      otherBias: true,
      queryKeyNorm: false,
    },
    rotary: false,
    ggufInterleaved: false,
    transposed: true,
    optionalPrefix: 'transformer.',
    keys: {
      hidden: 'n_embd',
      layers: 'n_layer',
      heads: 'n_head',
      intermediate: 'n_inner',
      normEpsilon: 'layer_norm_epsilon',
      positions: 'n_positions',
    },
    defaults: { positions: 1024, normEpsilon: 1e-5, tied: true, intermediateFactor: 4 },
    only: {
      activation_function: 'gelu_new',
      scale_attn_weights: true,
      scale_attn_by_inverse_layer_idx: false,
      add_cross_attention: false,
    },
    leftovers: /\.attn\.(bias|masked_bias)$/,
  },
]

/** For refusals. */
export const SUPPORTED_ARCHITECTURES = [
  `${ARCHITECTURES.map(({ className }) => className).join(', ')} (config.json)`,
  `${ARCHITECTURES.flatMap(({ gguf }) => gguf ?? []).join(', ')} (GGUF)`,
].join('; ')
