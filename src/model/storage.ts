import type { StorageType } from '../native/binding.js'

interface Block {
  /** elements of one block, along the last axis */
  elements: number
  bytes: number
}

/** Block sizes as in ggml's source: Q4_1 is f16 scale, f16 minimum, 16 bytes of nibbles; Q8_0 is f16 scale, 32 int8. */
const BLOCKS: Record<StorageType, Block> = {
  F32: { elements: 1, bytes: 4 },
  F16: { elements: 1, bytes: 2 },
  BF16: { elements: 1, bytes: 2 },
  Q4_1: { elements: 32, bytes: 20 },
  Q8_0: { elements: 32, bytes: 34 },
}

export function isStorageType(name: string): name is StorageType {
  return Object.hasOwn(BLOCKS, name)
}

export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, n) => product * n, 1)
}

/** Bytes of a whole tensor; the caller has checked that rows of a block type are whole blocks. */
export function storageBytes(type: StorageType, shape: readonly number[]): number {
  const block = BLOCKS[type]
  return (elementCount(shape) / block.elements) * block.bytes
}
