import type { StorageType } from '../native/binding/weights.js'

/** What the weights of a written model are stored as. */
export type OutputType = Extract<StorageType, 'F32' | 'F16' | 'BF16' | 'Q8_0'>
export const OUTPUT_TYPES: readonly OutputType[] = ['F32', 'F16', 'BF16', 'Q8_0']

/** A tensor of the base as a file shall hold it. */
export interface OutputTensor {
  /** Hugging Face's */
  name: string
  type: OutputType
  /** of the file */
  offset: number
  /** of the written matrix; a vector is one row */
  rows: number
  cols: number
  /** the written matrix is [in, out] */
  transposed: boolean
  /** rows in llama.cpp's order among that many heads; 0: in Hugging Face's */
  interleavedHeads: number
}

/** A weight file laid out before any weight is there. */
export interface OutputFile {
  name: string
  header: Uint8Array
  /** of the whole file */
  bytes: number
  tensors: OutputTensor[]
  /** what is no tensor of the base, e.g. rope factors */
  others: { offset: number; data: Uint8Array }[]
}

/** A model laid out: its weight files, and what lies beside them. The last of `texts` seals a folder. */
export interface OutputModel {
  files: OutputFile[]
  texts: [name: string, content: Uint8Array | string][]
  /** what could not be kept, one sentence each */
  notes: string[]
}
