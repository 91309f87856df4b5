import type { DecoderShape } from '../native/binding/decoder.js'
import type { LinearLayer } from './spec.js'

/** Hugging Face's name of a module, then llama.cpp's (gguf-py's tensor_mapping.py); inside a block both are relative. */
type Names = readonly [huggingFace: string, gguf: string]

/** A part of a decoder, whatever its files call it. */
type Part =
  | 'embedding'
  | 'positions'
  | 'finalNorm'
  | 'head'
  | 'block'
  | 'attentionNorm'
  | 'feedNorm'
  | 'q'
  | 'k'
  | 'v'
  | 'fused'
  | 'o'
  | 'qNorm'
  | 'kNorm'
  | 'gate'
  | 'up'
  | 'down'

const MODULES: Record<DecoderShape['names'], Partial<Record<Part, Names>>> = {
  llama: {
    embedding: ['model.embed_tokens', 'token_embd'],
    finalNorm: ['model.norm', 'output_norm'],
    head: ['lm_head', 'output'],
    block: ['model.layers', 'blk'],
    attentionNorm: ['input_layernorm', 'attn_norm'],
    feedNorm: ['post_attention_layernorm', 'ffn_norm'],
    q: ['self_attn.q_proj', 'attn_q'],
    k: ['self_attn.k_proj', 'attn_k'],
    v: ['self_attn.v_proj', 'attn_v'],
    o: ['self_attn.o_proj', 'attn_output'],
    qNorm: ['self_attn.q_norm', 'attn_q_norm'],
    kNorm: ['self_attn.k_norm', 'attn_k_norm'],
    gate: ['mlp.gate_proj', 'ffn_gate'],
    up: ['mlp.up_proj', 'ffn_up'],
    down: ['mlp.down_proj', 'ffn_down'],
  },
  gpt2: {
    embedding: ['transformer.wte', 'token_embd'],
    positions: ['transformer.wpe', 'position_embd'],
    finalNorm: ['transformer.ln_f', 'output_norm'],
    head: ['lm_head', 'output'],
    block: ['transformer.h', 'blk'],
    attentionNorm: ['ln_1', 'attn_norm'],
    feedNorm: ['ln_2', 'ffn_norm'],
    fused: ['attn.c_attn', 'attn_qkv'],
    o: ['attn.c_proj', 'attn_output'],
    up: ['mlp.c_fc', 'ffn_up'],
    down: ['mlp.c_proj', 'ffn_down'],
  },
}

/** A tensor that a decoder of some shape must have. */
export interface ExpectedTensor {
  /** Hugging Face's */
  name: string
  ggufName: string
  /** [out, in] for a linear weight, however its file lays it */
  dims: number[]
  /** the weight of a linear layer of a block, not a bias, a norm or an embedding */
  linear?: LinearLayer
  /** heads among whose rows llama.cpp's converter may have changed the order (q and k); otherwise 0 */
  heads: number
}

/** All tensors of a decoder, blocks in the order of the forward pass. */
export function* expectedTensors(shape: DecoderShape): Generator<ExpectedTensor> {
  const { vocabulary, hidden, layers, learnedPositions } = shape
  yield plain(shape, 'embedding', 'weight', [vocabulary, hidden])
  if (learnedPositions > 0) yield plain(shape, 'positions', 'weight', [learnedPositions, hidden])
  for (let layer = 0; layer < layers; layer++) yield* blockTensors(shape, layer)
  yield* norm(shape, 'finalNorm')
  if (!shape.tied) yield plain(shape, 'head', 'weight', [vocabulary, hidden])
}

/** Hugging Face's path of a part; `layer` for the parts of a block. @throws RangeError where the decoder has no such part */
export function modulePath(shape: DecoderShape, part: Part, layer?: number): string {
  const block = layer === undefined ? '' : `${namesOf(shape, 'block')[0]}.${layer}.`
  return `${block}${namesOf(shape, part)[0]}`
}

function* blockTensors(shape: DecoderShape, layer: number): Generator<ExpectedTensor> {
  const { hidden, intermediate, heads, kvHeads, headDim, qkvBias, otherBias } = shape
  const query = heads * headDim
  const key = kvHeads * headDim
  const linear = function* (part: Part, from: number, out: number, bias: boolean, permuted = 0) {
    const weight = plain(shape, part, 'weight', [out, from], layer)
    const name = weight.name.slice(0, -'.weight'.length)
    yield { ...weight, linear: { name, in: from, out }, heads: permuted }
    if (bias) yield plain(shape, part, 'bias', [out], layer)
  }
  yield* norm(shape, 'attentionNorm', layer)
  if (shape.fusedAttention) {
    yield* linear('fused', hidden, query + 2 * key, qkvBias)
  } else {
    yield* linear('q', hidden, query, qkvBias, heads)
    yield* linear('k', hidden, key, qkvBias, kvHeads)
    yield* linear('v', hidden, key, qkvBias)
  }
  if (shape.queryKeyNorm) {
    yield plain(shape, 'qNorm', 'weight', [headDim], layer)
    yield plain(shape, 'kNorm', 'weight', [headDim], layer)
  }
  yield* linear('o', query, hidden, otherBias)
  if (!shape.gelu) yield* linear('gate', hidden, intermediate, otherBias)
  yield* linear('up', hidden, intermediate, otherBias)
  yield* linear('down', intermediate, hidden, otherBias)
  yield* norm(shape, 'feedNorm', layer)
}

function* norm(shape: DecoderShape, part: Part, layer?: number): Generator<ExpectedTensor> {
  yield plain(shape, part, 'weight', [shape.hidden], layer)
  if (shape.layerNorm) yield plain(shape, part, 'bias', [shape.hidden], layer)
}

function plain(shape: DecoderShape, part: Part, suffix: string, dims: number[], layer?: number): ExpectedTensor {
  const [name, gguf] = namesOf(shape, part)
  const [block, ggufBlock] = layer === undefined ? ['', ''] : namesOf(shape, 'block').map((at) => `${at}.${layer}.`)
  return { name: `${block}${name}.${suffix}`, ggufName: `${ggufBlock}${gguf}.${suffix}`, dims, heads: 0 }
}

function namesOf(shape: DecoderShape, part: Part): Names {
  const names = MODULES[shape.names][part]
  if (names === undefined) throw new RangeError(`a decoder named as ${shape.names} has no ${part}`)
  return names
}
