import { OneroundError } from '../errors.js'
import type { DecoderShape } from '../native/binding/decoder.js'
import { isRecord } from '../text/bounded-file.js'
import { ARCHITECTURES, type Architecture, SUPPORTED_ARCHITECTURES } from './architectures.js'
import { checkShape, LIMITS } from './decoder.js'
import { inverseFrequencies, type RopeScaling, ropeOfConfig } from './rope.js'
import { Settings } from './settings.js'

interface ReadConfig {
  architecture: Architecture
  shape: DecoderShape
  maxPositions: number
}

/** The numbers of config.json; whatever would change the computation in a way that is not built is refused by name. */
export function readConfig(config: Settings): ReadConfig {
  const architecture = architectureOf(config)
  refuseOthers(config, architecture)
  const { keys, defaults, rotary } = architecture
  const hidden = config.integer(keys.hidden, { most: LIMITS.hidden })
  const heads = config.integer(keys.heads, { most: LIMITS.heads })
  const factor = defaults.intermediateFactor
  const positions = config.integer(keys.positions, {
    most: rotary ? LIMITS.positions : LIMITS.learnedPositions,
    otherwise: defaults.positions,
  })
  const shape: DecoderShape = {
    ...architecture.parts,
    vocabulary: config.integer('vocab_size', { most: LIMITS.vocabulary }),
    hidden,
    layers: config.integer(keys.layers, { most: LIMITS.layers }),
    heads,
    kvHeads:
      keys.kvHeads === undefined ? heads : config.integer(keys.kvHeads, { most: LIMITS.heads, otherwise: heads }),
    headDim: headDimOf(config, architecture, hidden / heads),
    intermediate: config.integer(keys.intermediate, {
      most: LIMITS.intermediate,
      ...(factor === undefined ? {} : { otherwise: factor * hidden }),
    }),
    normEpsilon: config.positive(keys.normEpsilon, defaults.normEpsilon),
    tied: config.flag('tie_word_embeddings', defaults.tied),
    inverseFrequencies: new Float64Array(),
    window: windowOf(config, architecture),
    learnedPositions: rotary ? 0 : positions,
  }
  checkShape(shape, config)
  if (rotary) {
    const { theta, scaling } = readRope(config)
    shape.inverseFrequencies = inverseFrequencies(shape.headDim, theta, scaling)
  }
  return { architecture, shape, maxPositions: positions }
}

function architectureOf(config: Settings): Architecture {
  const listed = config.raw('architectures')
  const type = config.raw('model_type')
  const className: unknown = Array.isArray(listed) ? listed[0] : listed
  const known = ARCHITECTURES.find((row) =>
    className === undefined ? row.modelType === type : row.className === className,
  )
  if (known !== undefined && (type === undefined || type === known.modelType)) return known
  const found = String(known === undefined ? (className ?? type) : type)
  throw new OneroundError('UNSUPPORTED', `${config.source}: the architecture ${found} is not supported`, {
    found,
    expected: SUPPORTED_ARCHITECTURES,
    fix: 'Use a base model of one of these architectures.',
  })
}

function refuseOthers(config: Settings, { only }: Architecture): void {
  for (const [key, value] of Object.entries(only)) {
    const found = config.raw(key) ?? value
    if (found !== value) throw config.unsupported(key, found, String(value), 'Use a base model with this setting.')
  }
  const kinds = config.raw('layer_types')
  const other: unknown = Array.isArray(kinds) ? kinds.find((kind) => kind !== 'full_attention') : undefined
  if (other !== undefined) {
    throw config.unsupported(
      'layer_types',
      other,
      'full_attention',
      'Use a base model whose layers are all of this type.',
    )
  }
  const quantization = config.raw('quantization_config')
  if (quantization !== undefined) {
    const method: unknown = isRecord(quantization) ? quantization.quant_method : quantization
    throw config.unsupported('quantization_config', method, 'none', 'Use the unquantised model, or a GGUF file of it.')
  }
}

function headDimOf(config: Settings, { keys, defaults }: Architecture, whole: number): number {
  if (keys.headDim !== undefined) {
    return config.integer(keys.headDim, { most: LIMITS.headDim, otherwise: defaults.headDim ?? whole })
  }
  if (Number.isInteger(whole) && whole <= LIMITS.headDim) return whole
  throw config.fault(keys.heads, config.raw(keys.heads), `a divisor of ${keys.hidden}`)
}

/** null means that every key is seen; a key that is not there, transformers' default. */
function windowOf(config: Settings, { keys, defaults }: Architecture): number {
  if (keys.window === undefined) return 0
  if (config.raw(keys.window) === undefined) return config.has(keys.window) ? 0 : (defaults.window ?? 0)
  return config.integer(keys.window, { most: LIMITS.learnedPositions })
}

/** Theta and stretching of a config.json. */
export function readRope(config: Settings): { theta: number; scaling: RopeScaling } {
  return ropeOfConfig(config, (key) => nested(config, key))
}

function nested(config: Settings, key: string): Settings | undefined {
  const value = config.raw(key)
  if (value === undefined) return undefined
  if (!isRecord(value)) throw config.fault(key, value, 'an object')
  return new Settings(new Map(Object.entries(value)), `${config.source}: ${key}`)
}
