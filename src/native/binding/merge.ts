import type { NativeWeights, StorageType } from './weights.js'

/** Rows of a tensor of base + adapter, as a file shall hold them: round(W + scale * B A + delta). */
export interface MergeRequest {
  /** Hugging Face's, e.g. `model.layers.0.mlp.up_proj.weight` */
  tensor: string
  /** rows of the written matrix */
  firstRow: number
  rows: number
  /** F32, F16, BF16 or Q8_0; the bits are ggml's */
  type: StorageType
  /** the written matrix is [in, out] */
  transposed: boolean
  /** rows are written in GGUF's interleaved order among that many heads; 0: in Hugging Face's */
  interleavedHeads: number
  /** A [rank, in], B [out, rank] */
  factors?: { rank: number; scale: number; a: Float32Array; b: Float32Array }
  /** [out, in], or [in, out] where deltaTransposed; comes with it */
  delta?: Float32Array
  deltaTransposed?: boolean
}

interface MergedRows {
  bytes: Uint8Array
  /** sums of squares over these rows: of W, of dW, of what rounding changed in W + dW */
  squaredBase: number
  squaredChange: number
  squaredError: number
  /** finite numbers that the type cannot hold */
  overflows: number
}

export interface MergeBinding {
  /** Computed in double, rounded to f32 and from there to the type; the same bits on every machine. Runs on its own thread. */
  mergeRows(weights: NativeWeights, request: MergeRequest): Promise<MergedRows>
}
