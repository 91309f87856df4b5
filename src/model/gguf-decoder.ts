import { OneroundError } from '../errors.js'
import type { DecoderShape } from '../native/binding/decoder.js'
import { ARCHITECTURES, type Architecture, SUPPORTED_ARCHITECTURES } from './architectures.js'
import { checkShape, decoderSpec, type FoundTensor, LIMITS } from './decoder.js'
import type { GgufFile } from './gguf.js'
import { applyRopeFactors, ROPE_FACTORS, ropeScaling } from './gguf-rope.js'
import { expectedTensors } from './modules.js'
import { inverseFrequencies } from './rope.js'
import { Settings } from './settings.js'
import type { ModelSpec } from './spec.js'

/** Spec of a GGUF file under Hugging Face's names. Reads rope factors from the file where it has them, else nothing. */
export async function ggufSpec(file: string, gguf: GgufFile): Promise<ModelSpec> {
  const settings = new Settings(gguf.metadata, file)
  const architecture = architectureOf(settings)
  const prefix = `${architecture.gguf}.`
  const maxPositions = settings.integer(`${prefix}context_length`, {
    most: architecture.rotary ? LIMITS.positions : LIMITS.learnedPositions,
  })
  const shape = shapeOf(gguf, settings, architecture, maxPositions)
  const factors = architecture.rotary ? gguf.tensors.find(({ name }) => name === ROPE_FACTORS) : undefined
  if (factors !== undefined) await applyRopeFactors(shape.inverseFrequencies, factors, file)
  const names = new Map([...expectedTensors(shape)].map(({ name, ggufName }) => [ggufName, name]))
  const tensors = new Map<string, FoundTensor>()
  for (const tensor of gguf.tensors) {
    if (tensor === factors) continue
    const { name: ownName, type, offset, shape: dims } = tensor
    // one without a counterpart stays under its own name and is refused by it
    tensors.set(names.get(ownName) ?? ownName, { ownName, file: 0, offset, type, shape: dims })
  }
  return decoderSpec({
    source: file,
    architecture,
    shape,
    maxPositions,
    files: [file],
    tensors,
    transposed: false, // the converter turns Conv1D's weights
    interleaved: architecture.ggufInterleaved,
    bosToken: settings.token('tokenizer.ggml.bos_token_id', shape.vocabulary),
    eosToken: settings.token('tokenizer.ggml.eos_token_id', shape.vocabulary),
  })
}

function architectureOf(settings: Settings): Architecture & { gguf: string } {
  const name = settings.text('general.architecture')
  for (const architecture of ARCHITECTURES) {
    if (architecture.gguf === name) return { ...architecture, gguf: name }
  }
  throw new OneroundError('UNSUPPORTED', `${settings.source}: the architecture ${name} is not supported`, {
    found: name,
    expected: SUPPORTED_ARCHITECTURES,
    fix: 'Use a base model of one of these architectures.',
  })
}

function shapeOf(
  gguf: GgufFile,
  settings: Settings,
  { gguf: name, parts, rotary }: Architecture & { gguf: string },
  positions: number,
): DecoderShape {
  const key = (rest: string): string => `${name}.${rest}`
  refuseOthers(settings, name)
  const hidden = settings.integer(key('embedding_length'), { most: LIMITS.hidden })
  const heads = settings.integer(key('attention.head_count'), { most: LIMITS.heads })
  const headDim = settings.integer(key('attention.key_length'), { most: LIMITS.headDim, otherwise: hidden / heads })
  for (const other of [key('attention.value_length'), key('rope.dimension_count')]) {
    const value = settings.integer(other, { most: LIMITS.headDim, otherwise: headDim })
    if (value !== headDim) {
      throw settings.unsupported(other, value, `the head dimension, ${headDim}`, 'Use a base model of plain heads.')
    }
  }
  const embedding = gguf.tensors.find((tensor) => tensor.name === 'token_embd.weight')
  const shape: DecoderShape = {
    ...parts,
    vocabulary: settings.integer(key('vocab_size'), {
      most: LIMITS.vocabulary,
      otherwise: embedding?.shape[0] ?? Number.NaN,
    }),
    hidden,
    layers: settings.integer(key('block_count'), { most: LIMITS.layers }),
    heads,
    kvHeads: settings.integer(key('attention.head_count_kv'), { most: LIMITS.heads, otherwise: heads }),
    headDim,
    intermediate: settings.integer(key('feed_forward_length'), { most: LIMITS.intermediate }),
    normEpsilon: settings.positive(key(`attention.layer_norm_${parts.layerNorm ? '' : 'rms_'}epsilon`)),
    tied: !gguf.tensors.some((tensor) => tensor.name === 'output.weight'),
    inverseFrequencies: new Float64Array(),
    window: 0,
    learnedPositions: rotary ? 0 : positions,
  }
  checkShape(shape, settings)
  if (rotary) {
    const theta = settings.positive(key('rope.freq_base'), 10_000)
    shape.inverseFrequencies = inverseFrequencies(headDim, theta, ropeScaling(settings, name))
  }
  return shape
}

function refuseOthers(settings: Settings, name: string): void {
  for (const key of [`${name}.expert_count`, `${name}.attention.sliding_window`]) {
    const value = settings.raw(key)
    if (value !== undefined && value !== 0) throw settings.unsupported(key, value, 'none', `Use a plain ${name} model.`)
  }
}
