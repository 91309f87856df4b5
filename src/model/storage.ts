import type { StorageType } from '../native/binding/weights.js'
import { GGML_TYPES } from './gguf-types.js'

interface Block {
  /** elements of one block, along the last axis */
  elements: number
  bytes: number
}

const STORAGE_TYPES: readonly StorageType[] = [
  ...(['F32', 'F16', 'BF16', 'Q4_0', 'Q4_1', 'Q5_0', 'Q5_1', 'Q8_0'] as const),
  ...(['Q2_K', 'Q3_K', 'Q4_K', 'Q5_K', 'Q6_K'] as const),
]

const SIZES = new Map<string, Block>([...GGML_TYPES.values()].map((type) => [type.name, type]))

export function isStorageType(name: string): name is StorageType {
  return (STORAGE_TYPES as readonly string[]).includes(name)
}

/** Elements of one block: rows are whole blocks. */
export function blockElements(type: StorageType): number {
  return blockOf(type).elements
}

export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, n) => product * n, 1)
}

/** Bytes of a whole tensor; the caller has checked that rows of a block type are whole blocks. */
export function storageBytes(type: StorageType, shape: readonly number[]): number {
  const block = blockOf(type)
  return (elementCount(shape) / block.elements) * block.bytes
}

function blockOf(type: StorageType): Block {
  const block = SIZES.get(type)
  if (block === undefined) throw new RangeError(`ggml has no type ${type}`)
  return block
}
