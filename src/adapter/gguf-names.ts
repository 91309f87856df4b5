/** Where a base's linear layers are in llama.cpp's files, and the order of their rows there. */
import { ggufArchitecture } from '../model/gguf-metadata.js'
import { expectedTensors } from '../model/modules.js'
import type { ModelSpec } from '../model/spec.js'

interface GgufLayer {
  /** Hugging Face's module path */
  name: string
  /** llama.cpp's tensor */
  tensor: string
  in: number
  out: number
  /** heads among whose rows llama.cpp's order differs; 0: it does not */
  heads: number
}

interface GgufNames {
  architecture: string
  layers: GgufLayer[]
}

export function ggufNames(spec: ModelSpec): GgufNames {
  const { name: architecture, interleaved } = ggufArchitecture(spec)
  const layers: GgufLayer[] = []
  for (const { linear, ggufName, heads } of expectedTensors(spec.shape)) {
    if (linear !== undefined) layers.push({ ...linear, tensor: ggufName, heads: interleaved ? heads : 0 })
  }
  return { architecture, layers }
}

/**
 * B's rows between the two orders: Hugging Face's row (h, p, i) of [heads, 2, d/2] is llama.cpp's row (h, i, p).
 * @param b [out, rank]
 */
export function reorderRows(b: Float32Array, out: number, heads: number, to: 'gguf' | 'huggingface'): Float32Array {
  if (heads === 0) return b
  const rank = b.length / out
  const width = out / heads
  const half = width / 2
  const ordered = new Float32Array(b.length)
  for (let row = 0; row < out; row++) {
    const inside = row % width
    const other = row - inside + 2 * (inside % half) + Math.floor(inside / half)
    const [from, at] = to === 'gguf' ? [row, other] : [other, row]
    ordered.set(b.subarray(from * rank, (from + 1) * rank), at * rank)
  }
  return ordered
}
