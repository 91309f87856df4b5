/** GGUF metadata of a decoder that comes from a Hugging Face folder. Keys: ggml's docs/gguf.md and llama.cpp's gguf-py. */
import { architectureOf } from './config-write.js'
import type { GgufEntry } from './gguf-write.js'
import { inverseFrequencies, type RopeScaling } from './rope.js'
import type { ModelSpec } from './spec.js'

interface DecoderMetadata {
  entries: GgufEntry[]
  ropeFactors?: Float32Array
  interleaved: boolean
  notes: string[]
}

/** llama.cpp has no architecture of its own for Mistral: it is a Llama whose window it does not know. */
export function ggufArchitecture(spec: ModelSpec): { name: string; interleaved: boolean } {
  const { gguf, ggufInterleaved } = architectureOf(spec)
  return gguf === undefined ? { name: 'llama', interleaved: true } : { name: gguf, interleaved: ggufInterleaved }
}

export function decoderMetadata(
  spec: ModelSpec,
  name: string,
  rope: { theta: number; scaling: RopeScaling },
): DecoderMetadata {
  const { shape } = spec
  const { name: architecture, interleaved } = ggufArchitecture(spec)
  const key = (rest: string): string => `${architecture}.${rest}`
  const notes: string[] = []
  let positions = spec.maxPositions
  if (shape.window > 0 && shape.window < positions) {
    positions = shape.window
    notes.push(
      `llama.cpp has no sliding window for this architecture: context_length is the window, ${shape.window} tokens.`,
    )
  }
  const entries: GgufEntry[] = [
    ['general.architecture', 'string', architecture],
    ['general.type', 'string', 'model'],
    ['general.name', 'string', name],
    [key('vocab_size'), 'u32', shape.vocabulary],
    [key('context_length'), 'u32', positions],
    [key('embedding_length'), 'u32', shape.hidden],
    [key('block_count'), 'u32', shape.layers],
    [key('feed_forward_length'), 'u32', shape.intermediate],
    [key('attention.head_count'), 'u32', shape.heads],
    [key('attention.head_count_kv'), 'u32', shape.kvHeads],
    [key('attention.key_length'), 'u32', shape.headDim],
    [key('attention.value_length'), 'u32', shape.headDim],
    [key(`attention.layer_norm_${shape.layerNorm ? '' : 'rms_'}epsilon`), 'f32', shape.normEpsilon],
  ]
  if (shape.learnedPositions > 0) return { entries, interleaved, notes }
  entries.push([key('rope.dimension_count'), 'u32', shape.headDim], [key('rope.freq_base'), 'f32', rope.theta])
  if (rope.scaling.kind === 'linear') {
    entries.push(
      [key('rope.scaling.type'), 'string', 'linear'],
      [key('rope.scaling.factor'), 'f32', rope.scaling.factor],
    )
  }
  if (rope.scaling.kind !== 'llama3') return { entries, interleaved, notes }
  const plain = inverseFrequencies(shape.headDim, rope.theta, { kind: 'default' })
  const ropeFactors = Float32Array.from(plain, (frequency, i) => frequency / (shape.inverseFrequencies[i] ?? frequency))
  return { entries, ropeFactors, interleaved, notes }
}
