import type { Settings } from './settings.js'

/** How rotary frequencies are stretched for contexts longer than the one trained on. */
export type RopeScaling =
  | { kind: 'default' }
  | { kind: 'linear'; factor: number }
  | {
      kind: 'llama3'
      factor: number
      lowFrequencyFactor: number
      highFrequencyFactor: number
      originalPositions: number
    }

const ROPE_KINDS = 'default, linear, llama3'

/**
 * Inverse frequencies theta^(-2i/d), i < d/2, stretched as `scaling` says.
 * llama3 as in transformers' modeling_rope_utils: wavelengths above original/low are stretched by the factor, those
 * below original/high are kept, and between them the two are mixed linearly in original/wavelength.
 */
export function inverseFrequencies(headDim: number, theta: number, scaling: RopeScaling): Float64Array {
  const result = new Float64Array(headDim / 2)
  for (let i = 0; i < result.length; i++) {
    const plain = theta ** ((-2 * i) / headDim)
    result[i] = stretched(plain, scaling)
  }
  return result
}

function stretched(plain: number, scaling: RopeScaling): number {
  if (scaling.kind === 'default') return plain
  if (scaling.kind === 'linear') return plain / scaling.factor
  const { factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalPositions } = scaling
  const turns = (originalPositions * plain) / (2 * Math.PI) // original context / wavelength
  if (turns > high) return plain
  if (turns < low) return plain / factor
  const kept = (turns - low) / (high - low)
  return (1 - kept) * (plain / factor) + kept * plain
}

/**
 * Rope settings of config.json. transformers 5 writes `rope_parameters`, with theta in it; transformers 4 writes
 * `rope_theta` beside `rope_scaling`, whose kind was first called `type`, later `rope_type`.
 */
export function ropeOfConfig(
  config: Settings,
  nested: (key: string) => Settings | undefined,
): {
  theta: number
  scaling: RopeScaling
} {
  const parameters = nested('rope_parameters')
  const rope = parameters ?? nested('rope_scaling')
  const theta =
    parameters?.raw('rope_theta') === undefined
      ? config.positive('rope_theta', 10_000)
      : parameters.positive('rope_theta')
  for (const settings of [config, rope]) {
    const share = settings?.raw('partial_rotary_factor')
    if (settings !== undefined && share !== undefined && share !== 1) {
      throw settings.unsupported(
        'partial_rotary_factor',
        share,
        '1 (all of a head is rotated)',
        'Use another base model.',
      )
    }
  }
  return { theta, scaling: rope === undefined ? { kind: 'default' } : scalingOf(rope) }
}

function scalingOf(rope: Settings): RopeScaling {
  const key = rope.raw('rope_type') === undefined ? 'type' : 'rope_type'
  const kind = rope.text(key, 'default')
  switch (kind) {
    case 'default':
      return { kind }
    case 'linear':
      return { kind, factor: rope.positive('factor') }
    case 'llama3': {
      const lowFrequencyFactor = rope.positive('low_freq_factor')
      const highFrequencyFactor = rope.positive('high_freq_factor')
      if (highFrequencyFactor <= lowFrequencyFactor) {
        throw rope.fault(
          'high_freq_factor',
          highFrequencyFactor,
          `a number above low_freq_factor, ${lowFrequencyFactor}`,
        )
      }
      const originalPositions = rope.positive('original_max_position_embeddings')
      return { kind, factor: rope.positive('factor'), lowFrequencyFactor, highFrequencyFactor, originalPositions }
    }
    default:
      throw rope.unsupported(key, kind, `one of ${ROPE_KINDS}`, 'Use a base model with one of these rope types.')
  }
}
