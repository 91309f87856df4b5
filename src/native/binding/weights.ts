import type { DecoderShape } from './decoder.js'

/** How a tensor's numbers lie in its file. Q types are GGUF's blocks along the last axis: 32 elements, the _K ones 256. */
export type StorageType =
  | 'F32'
  | 'F16'
  | 'BF16'
  | 'Q4_0'
  | 'Q4_1'
  | 'Q5_0'
  | 'Q5_1'
  | 'Q8_0'
  | 'Q2_K'
  | 'Q3_K'
  | 'Q4_K'
  | 'Q5_K'
  | 'Q6_K'

/** Where one base tensor lies. Names and shapes are Hugging Face's. */
export interface TensorPlacement {
  /** e.g. `model.layers.0.self_attn.q_proj.weight` */
  name: string
  /** index into the list of files */
  file: number
  /** absolute byte offset in that file; any alignment */
  offset: number
  type: StorageType
  /** as stored: [out, in], [in, out] where transposed, or [n] */
  shape: number[]
  /**
   * 0 where rows lie in Hugging Face's order. Otherwise the number of heads whose rows lie in GGUF's
   * interleaved order: Hugging Face's row (h, p, i) of [heads, 2, d/2] is the file's row (h, i, p).
   */
  interleavedHeads: number
  /** a linear weight stored [in, out] (GPT-2's Conv1D in Hugging Face's files) */
  transposed: boolean
}

/** The base weights, mapped read-only from their files. Sessions keep it alive; close() only drops this handle. */
export interface NativeWeights {
  readonly bytes: number
  /** rows first .. first + count of a tensor as it is stored, as f32 [count, columns], in Hugging Face's order of rows */
  read(tensor: string, first: number, count: number): Promise<Float32Array>
  close(): void
}

export interface WeightsBinding {
  Weights: new (shape: DecoderShape, files: string[], tensors: TensorPlacement[]) => NativeWeights
  /** squared Frobenius norms of tensors as their file holds them, in double */
  squaredNorms(weights: NativeWeights, tensors: string[]): Promise<Float64Array>
}
