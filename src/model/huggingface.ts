import { join } from 'node:path'
import { OneroundError } from '../errors.js'
import type { DecoderShape } from '../native/binding.js'
import { isRecord, parseJsonObject, readBoundedFile } from '../text/bounded-file.js'
import { checkShape, type FoundTensor, LIMITS, llamaSpec } from './llama.js'
import { inverseFrequencies, ropeOfConfig } from './rope.js'
import { Settings } from './settings.js'
import { type ModelSpec, SUPPORTED_ARCHITECTURES } from './spec.js'
import { weightFiles } from './weight-files.js'

const CONFIG_LIMIT = 1 << 20
const ARCHITECTURE = 'LlamaForCausalLM'

/** Spec of a Hugging Face folder: config.json and model.safetensors, in one file or sharded. Reads headers only. */
export async function huggingFaceSpec(folder: string): Promise<ModelSpec> {
  const source = join(folder, 'config.json')
  const bytes = await readBoundedFile(source, CONFIG_LIMIT)
  if (bytes === undefined) {
    throw new OneroundError('NOT_FOUND', `${folder} has no config.json`, {
      found: 'a folder without it',
      expected: 'a Hugging Face model folder: config.json, model.safetensors, tokenizer.json',
      fix: 'Pass the folder that holds config.json, or a .gguf file.',
    })
  }
  const config = new Settings(new Map(Object.entries(parseJsonObject(bytes, source))), source)
  const { shape, maxPositions } = shapeOfConfig(config)
  const { files, entries } = await weightFiles(folder)
  const tensors = new Map<string, FoundTensor>()
  for (const { name, dtype, shape: dims, offset, file } of entries) {
    if (isLeftover(name, shape.tied)) continue
    tensors.set(name, { ownName: name, file, offset, type: dtype, shape: dims, interleavedHeads: 0 })
  }
  const bosToken = config.token('bos_token_id', shape.vocabulary)
  const eosToken = config.token('eos_token_id', shape.vocabulary)
  return llamaSpec({ source: folder, shape, maxPositions, files, tensors, bosToken, eosToken })
}

/** Tensors that some writers keep although the model does not need them. */
function isLeftover(name: string, tied: boolean): boolean {
  return name.endsWith('.rotary_emb.inv_freq') || (tied && name === 'lm_head.weight')
}

/** The numbers of config.json; whatever would change the computation in a way that is not built is refused by name. */
export function shapeOfConfig(config: Settings): { shape: DecoderShape; maxPositions: number } {
  refuseOthers(config)
  const hidden = config.integer('hidden_size', { most: LIMITS.hidden })
  const heads = config.integer('num_attention_heads', { most: LIMITS.heads })
  const headDim = config.integer('head_dim', { most: LIMITS.headDim, otherwise: hidden / heads })
  const nested = (key: string): Settings | undefined => {
    const value = config.raw(key)
    if (value === undefined) return undefined
    if (!isRecord(value)) throw config.fault(key, value, 'an object')
    return new Settings(new Map(Object.entries(value)), `${config.source}: ${key}`)
  }
  const { theta, scaling } = ropeOfConfig(config, nested)
  const shape: DecoderShape = {
    vocabulary: config.integer('vocab_size', { most: LIMITS.vocabulary }),
    hidden,
    layers: config.integer('num_hidden_layers', { most: LIMITS.layers }),
    heads,
    kvHeads: config.integer('num_key_value_heads', { most: LIMITS.heads, otherwise: heads }),
    headDim,
    intermediate: config.integer('intermediate_size', { most: LIMITS.intermediate }),
    normEpsilon: config.positive('rms_norm_eps', 1e-6),
    tied: config.flag('tie_word_embeddings', false),
    inverseFrequencies: new Float64Array(),
  }
  checkShape(shape, config)
  shape.inverseFrequencies = inverseFrequencies(headDim, theta, scaling)
  const maxPositions = config.integer('max_position_embeddings', { most: LIMITS.positions, otherwise: 2048 })
  return { shape, maxPositions }
}

function refuseOthers(config: Settings): void {
  const listed = config.raw('architectures')
  const type = config.raw('model_type')
  const architecture: unknown = Array.isArray(listed) ? listed[0] : (listed ?? (type === 'llama' ? ARCHITECTURE : type))
  if (architecture !== ARCHITECTURE || (type !== undefined && type !== 'llama')) {
    const found = architecture === ARCHITECTURE ? type : architecture
    throw new OneroundError('UNSUPPORTED', `${config.source}: the architecture ${String(found)} is not supported`, {
      found: String(found),
      expected: SUPPORTED_ARCHITECTURES,
      fix: 'Use a base model of one of these architectures.',
    })
  }
  for (const key of ['attention_bias', 'mlp_bias']) {
    if (config.flag(key, false)) throw config.unsupported(key, true, 'false', 'Use a base model without these biases.')
  }
  const activation = config.text('hidden_act', 'silu')
  if (activation !== 'silu') {
    throw config.unsupported('hidden_act', activation, 'silu', 'Use a base model with this activation.')
  }
  const quantization = config.raw('quantization_config')
  if (quantization !== undefined) {
    const method: unknown = isRecord(quantization) ? quantization.quant_method : quantization
    throw config.unsupported('quantization_config', method, 'none', 'Use the unquantised model, or a GGUF file of it.')
  }
}
