/** config.json of a written model: the source's own with the new type, or one made from the spec of a GGUF file. */
import { OneroundError } from '../errors.js'
import { ARCHITECTURES, type Architecture } from './architectures.js'
import type { OutputType } from './output.js'
import type { RopeScaling } from './rope.js'
import type { ModelSpec } from './spec.js'

const DTYPES: Readonly<Partial<Record<OutputType, string>>> = { F32: 'float32', F16: 'float16', BF16: 'bfloat16' }

/** A config.json that says what its weights are stored as. transformers 5 reads `dtype`, 4 reads `torch_dtype`. */
export function retyped(config: Record<string, unknown>, type: OutputType): Record<string, unknown> {
  const key = 'torch_dtype' in config ? 'torch_dtype' : 'dtype'
  const { quantization_config: _, ...rest } = config
  return { ...rest, [key]: DTYPES[type] }
}

/**
 * The numbers of a model under the keys of its architecture.
 * @throws OneroundError UNSUPPORTED where the rope is stretched in a way that only a config.json can name
 */
export function configOf(spec: ModelSpec, rope: { theta: number; scaling: RopeScaling }): Record<string, unknown> {
  const { keys, className, modelType, only, rotary } = architectureOf(spec)
  const { shape } = spec
  const numbers: [string | undefined, unknown][] = [
    [keys.hidden, shape.hidden],
    [keys.layers, shape.layers],
    [keys.heads, shape.heads],
    [keys.kvHeads, shape.kvHeads],
    [keys.headDim, shape.headDim],
    [keys.intermediate, shape.intermediate],
    [keys.normEpsilon, decimal(shape.normEpsilon)],
    [keys.positions, spec.maxPositions],
    [keys.window, shape.window === 0 ? null : shape.window],
  ]
  return {
    architectures: [className],
    model_type: modelType,
    vocab_size: shape.vocabulary,
    ...Object.fromEntries(numbers.filter(([key]) => key !== undefined)),
    ...only,
    tie_word_embeddings: shape.tied,
    ...(rotary ? ropeFields(rope) : {}),
    ...(spec.bosToken === undefined ? {} : { bos_token_id: spec.bosToken }),
    ...(spec.eosToken === undefined ? {} : { eos_token_id: spec.eosToken }),
  }
}

/** An f32 as the shortest decimal that means it: GGUF holds 1e-6 as 9.99999997e-7. */
function decimal(value: number): number {
  for (let digits = 1; digits < 17; digits++) {
    const short = Number(value.toPrecision(digits))
    if (Math.fround(short) === Math.fround(value)) return short
  }
  return value
}

/** Both spellings: transformers 4 does not read `rope_parameters`, 5 takes the older keys too. */
function ropeFields({ theta, scaling }: { theta: number; scaling: RopeScaling }): Record<string, unknown> {
  if (scaling.kind === 'default') return { rope_theta: theta }
  if (scaling.kind === 'linear') {
    return { rope_theta: theta, rope_scaling: { rope_type: 'linear', type: 'linear', factor: scaling.factor } }
  }
  return {
    rope_theta: theta,
    rope_scaling: {
      rope_type: 'llama3',
      factor: scaling.factor,
      low_freq_factor: scaling.lowFrequencyFactor,
      high_freq_factor: scaling.highFrequencyFactor,
      original_max_position_embeddings: scaling.originalPositions,
    },
  }
}

export function architectureOf(spec: ModelSpec): Architecture {
  const found = ARCHITECTURES.find(({ name }) => name === spec.architecture)
  if (found !== undefined) return found
  throw new OneroundError('UNSUPPORTED', `${spec.architecture} cannot be written.`, {
    expected: ARCHITECTURES.map(({ name }) => name).join(', '),
    fix: 'Use a base of one of these architectures.',
  })
}
