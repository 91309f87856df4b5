import { open } from 'node:fs/promises'
import { OneroundError } from '../errors.js'
import type { DecoderShape } from '../native/binding.js'
import { fileError, readExactly } from '../text/bounded-file.js'
import type { GgufFile, GgufTensor } from './gguf.js'
import { checkShape, type FoundTensor, LIMITS, llamaSpec } from './llama.js'
import { inverseFrequencies, type RopeScaling } from './rope.js'
import { Settings } from './settings.js'
import { type ModelSpec, SUPPORTED_ARCHITECTURES } from './spec.js'

/** llama.cpp's names (gguf-py's tensor mapping) and Hugging Face's. */
const BLOCK_NAMES: ReadonlyMap<string, string> = new Map([
  ['attn_norm', 'input_layernorm'],
  ['attn_q', 'self_attn.q_proj'],
  ['attn_k', 'self_attn.k_proj'],
  ['attn_v', 'self_attn.v_proj'],
  ['attn_output', 'self_attn.o_proj'],
  ['ffn_norm', 'post_attention_layernorm'],
  ['ffn_gate', 'mlp.gate_proj'],
  ['ffn_up', 'mlp.up_proj'],
  ['ffn_down', 'mlp.down_proj'],
])
const OTHER_NAMES: ReadonlyMap<string, string> = new Map([
  ['token_embd.weight', 'model.embed_tokens.weight'],
  ['output_norm.weight', 'model.norm.weight'],
  ['output.weight', 'lm_head.weight'],
])
const ROPE_FACTORS = 'rope_freqs.weight'

/** Spec of a GGUF file under Hugging Face's names. Reads rope factors from the file where it has them, else nothing. */
export async function ggufSpec(file: string, gguf: GgufFile): Promise<ModelSpec> {
  const settings = new Settings(gguf.metadata, file)
  const shape = shapeOf(gguf, settings)
  const factors = gguf.tensors.find(({ name }) => name === ROPE_FACTORS)
  if (factors !== undefined) await applyRopeFactors(shape, factors, file)
  const tensors = new Map<string, FoundTensor>()
  for (const tensor of gguf.tensors) {
    if (tensor === factors) continue
    const { name: ownName, type, offset, shape: dims } = tensor
    const name = huggingFaceName(ownName)
    tensors.set(name, { ownName, file: 0, offset, type, shape: dims, interleavedHeads: interleaved(name, shape) })
  }
  return llamaSpec({
    source: file,
    shape,
    maxPositions: settings.integer('llama.context_length', { most: LIMITS.positions }),
    files: [file],
    tensors,
    bosToken: settings.token('tokenizer.ggml.bos_token_id', shape.vocabulary),
    eosToken: settings.token('tokenizer.ggml.eos_token_id', shape.vocabulary),
  })
}

/** A name without a counterpart stays as it is and is refused by name later. */
function huggingFaceName(name: string): string {
  const block = /^blk\.(0|[1-9]\d{0,3})\.([a-z_]+)\.weight$/.exec(name)
  const inBlock = block?.[2] === undefined ? undefined : BLOCK_NAMES.get(block[2])
  return inBlock === undefined ? (OTHER_NAMES.get(name) ?? name) : `model.layers.${block?.[1]}.${inBlock}.weight`
}

/** llama.cpp's converter lays the rows of q and k head by head in pairs; values and norms stay as they are. */
function interleaved(name: string, shape: DecoderShape): number {
  if (name.endsWith('.q_proj.weight')) return shape.heads
  return name.endsWith('.k_proj.weight') ? shape.kvHeads : 0
}

function shapeOf(gguf: GgufFile, settings: Settings): DecoderShape {
  refuseOthers(settings)
  const hidden = settings.integer('llama.embedding_length', { most: LIMITS.hidden })
  const heads = settings.integer('llama.attention.head_count', { most: LIMITS.heads })
  const headDim = settings.integer('llama.attention.key_length', { most: LIMITS.headDim, otherwise: hidden / heads })
  for (const key of ['llama.attention.value_length', 'llama.rope.dimension_count']) {
    const value = settings.integer(key, { most: LIMITS.headDim, otherwise: headDim })
    if (value !== headDim) {
      throw settings.unsupported(key, value, `the head dimension, ${headDim}`, 'Use a base model of plain Llama heads.')
    }
  }
  const embedding = gguf.tensors.find(({ name }) => name === 'token_embd.weight')
  const vocabulary = settings.integer('llama.vocab_size', {
    most: LIMITS.vocabulary,
    otherwise: embedding?.shape[0] ?? Number.NaN,
  })
  const shape: DecoderShape = {
    vocabulary,
    hidden,
    layers: settings.integer('llama.block_count', { most: LIMITS.layers }),
    heads,
    kvHeads: settings.integer('llama.attention.head_count_kv', { most: LIMITS.heads, otherwise: heads }),
    headDim,
    intermediate: settings.integer('llama.feed_forward_length', { most: LIMITS.intermediate }),
    normEpsilon: settings.positive('llama.attention.layer_norm_rms_epsilon'),
    tied: !gguf.tensors.some(({ name }) => name === 'output.weight'),
    inverseFrequencies: new Float64Array(),
  }
  checkShape(shape, settings)
  const theta = settings.positive('llama.rope.freq_base', 10_000)
  shape.inverseFrequencies = inverseFrequencies(headDim, theta, scalingOf(settings))
  return shape
}

function refuseOthers(settings: Settings): void {
  const architecture = settings.text('general.architecture')
  if (architecture !== 'llama') {
    throw new OneroundError('UNSUPPORTED', `${settings.source}: the architecture ${architecture} is not supported`, {
      found: architecture,
      expected: SUPPORTED_ARCHITECTURES,
      fix: 'Use a base model of one of these architectures.',
    })
  }
  for (const key of ['llama.expert_count', 'llama.attention.sliding_window']) {
    const value = settings.raw(key)
    if (value !== undefined && value !== 0) throw settings.unsupported(key, value, 'none', 'Use a plain Llama model.')
  }
}

function scalingOf(settings: Settings): RopeScaling {
  const key = 'llama.rope.scaling.type'
  const older = settings.raw('llama.rope.scale_linear')
  const kind = settings.text(key, older === undefined ? 'none' : 'linear')
  if (kind === 'none') return { kind: 'default' }
  if (kind !== 'linear') throw settings.unsupported(key, kind, 'none, linear', 'Use a base model with one of these.')
  const factor = older === undefined ? 'llama.rope.scaling.factor' : 'llama.rope.scale_linear'
  return { kind: 'linear', factor: settings.positive(factor) }
}

/** Llama 3.1's stretching comes as one divisor a frequency. */
async function applyRopeFactors(shape: DecoderShape, tensor: GgufTensor, file: string): Promise<void> {
  const frequencies = shape.inverseFrequencies
  if (tensor.type !== 'F32' || tensor.shape.length !== 1 || tensor.shape[0] !== frequencies.length) {
    throw badFactors(file, `${tensor.type} [${tensor.shape}]`, `F32 [${frequencies.length}]`)
  }
  let handle: Awaited<ReturnType<typeof open>> | undefined
  try {
    handle = await open(file, 'r')
    const bytes = await readExactly(handle, tensor.offset, tensor.bytes, file)
    for (let i = 0; i < frequencies.length; i++) {
      const factor = bytes.readFloatLE(4 * i)
      if (!Number.isFinite(factor) || factor <= 0) throw badFactors(file, String(factor), 'a number above zero')
      frequencies[i] = (frequencies[i] ?? 0) / factor
    }
  } catch (cause) {
    throw cause instanceof OneroundError ? cause : fileError(file, cause)
  } finally {
    await handle?.close()
  }
}

function badFactors(file: string, found: string, expected: string): OneroundError {
  const fix = 'Download or convert the model again.'
  return new OneroundError('MALFORMED', `${file}: ${ROPE_FACTORS} is not usable`, { found, expected, fix })
}
