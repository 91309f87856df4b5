/**
 * Digests of tensors: SHA-256 over (name, dtype, shape, bytes) in the order of the names. How a file is laid out or
 * sharded changes nothing.
 */
import { createHash } from 'node:crypto'
import type { Adapter } from '../adapter/adapter.js'

interface NamedTensor {
  name: string
  dtype: string
  shape: readonly number[]
  /** row-major, little-endian */
  data: Uint8Array
}

/** SHA-256 in hexadecimal. Each tensor is preceded by `name\0dtype\0shape\0`, which no other tensor's bytes can imitate: the shape fixes the length. */
function tensorsSha256(tensors: Iterable<NamedTensor>): string {
  const hash = createHash('sha256')
  const sorted = [...tensors].sort((left, right) => (left.name < right.name ? -1 : left.name > right.name ? 1 : 0))
  for (const { name, dtype, shape, data } of sorted) {
    hash.update(`${name}\0${dtype}\0${shape.join(',')}\0`)
    hash.update(data)
  }
  return hash.digest('hex')
}

/**
 * Digest of what an adapter does: its factors, scales and dense deltas. Layers of rank 0 do nothing and are left out,
 * so that an adapter and its saved copy have one digest.
 */
export function adapterSha256(adapter: Pick<Adapter, 'layers' | 'dense'>): string {
  const tensors: NamedTensor[] = []
  for (const layer of adapter.layers) {
    if (layer.rank === 0) continue
    tensors.push({ name: `${layer.name}.lora_A`, dtype: 'F32', shape: [layer.rank, layer.in], data: bytesOf(layer.a) })
    tensors.push({ name: `${layer.name}.lora_B`, dtype: 'F32', shape: [layer.out, layer.rank], data: bytesOf(layer.b) })
    tensors.push({
      name: `${layer.name}.scale`,
      dtype: 'F64',
      shape: [],
      data: bytesOf(new Float64Array([layer.scale])),
    })
  }
  for (const { name, shape, values } of adapter.dense)
    tensors.push({ name: `${name}.delta`, dtype: 'F32', shape, data: bytesOf(values) })
  return tensorsSha256(tensors)
}

/** The numbers' bytes, without a copy. */
export function bytesOf(values: Float32Array | Float64Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
}
