/**
 * Digests of tensors: SHA-256 over (name, dtype, shape, bytes) in the order of the names. How a file is laid out or
 * sharded changes nothing.
 */
import { createHash } from 'node:crypto'
import type { Adapter, AdapterLayer, Layer } from '../adapter/adapter.js'
import type { DenseDelta } from '../adapter/dense.js'

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
  const sorted = [...tensors].sort(byName)
  for (const tensor of sorted) hash.update(prefixOf(tensor)).update(tensor.data)
  return hash.digest('hex')
}

function prefixOf({ name, dtype, shape }: Omit<NamedTensor, 'data'>): string {
  return `${name}\0${dtype}\0${shape.join(',')}\0`
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

/** `adapterSha256` of adapters that have just these layers, for as many as come: names are sorted and written once. */
export function digestOfLayers(layers: readonly Layer[]): (found: Found) => string {
  const tensors = layers.flatMap(({ name, in: inDim, out, rank, scale }, index) => {
    if (rank === 0) return []
    const scaleBytes = bytesOf(new Float64Array([scale]))
    return [
      { name: `${name}.lora_A`, dtype: 'F32', shape: [rank, inDim], of: (found: Found) => found[index]?.a },
      { name: `${name}.lora_B`, dtype: 'F32', shape: [out, rank], of: (found: Found) => found[index]?.b },
      { name: `${name}.scale`, dtype: 'F64', shape: [], of: () => scaleBytes },
    ]
  })
  const parts = tensors.sort(byName).map(({ of, ...tensor }) => ({ prefix: Buffer.from(prefixOf(tensor)), of }))
  return (found) => {
    if (!found.every((layer, i) => layer.name === layers[i]?.name)) return adapterSha256({ layers: found, dense: [] })
    const hash = createHash('sha256')
    for (const { prefix, of } of parts) hash.update(prefix).update(of(found) ?? new Uint8Array())
    return hash.digest('hex')
  }
}

type Found = readonly AdapterLayer[]

/** Whether adapterSha256 of the two is the same, told at the first number that differs. */
export function isSameAdapter(
  left: Pick<Adapter, 'layers' | 'dense'>,
  right: Pick<Adapter, 'layers' | 'dense'>,
): boolean {
  const isLayer = ({ rank }: AdapterLayer) => rank > 0
  return (
    isSameList(left.layers.filter(isLayer), right.layers.filter(isLayer), isSameLayer) &&
    isSameList(left.dense, right.dense, isSameDelta)
  )
}

/** Whether two lists of unlike names hold the same, in any order. */
function isSameList<T extends { name: string }>(
  left: readonly T[],
  right: readonly T[],
  isSame: (one: T, other: T) => boolean,
): boolean {
  const byNames = new Map(right.map((item) => [item.name, item]))
  return (
    left.length === right.length &&
    left.every((one) => {
      const other = byNames.get(one.name)
      return other !== undefined && isSame(one, other)
    })
  )
}

function isSameLayer(one: AdapterLayer, other: AdapterLayer): boolean {
  const isAlike = (['in', 'out', 'rank'] as const).every((field) => one[field] === other[field])
  return isAlike && Object.is(one.scale, other.scale) && isSameBytes(one.b, other.b) && isSameBytes(one.a, other.a)
}

function isSameDelta(one: DenseDelta, other: DenseDelta): boolean {
  return one.shape.join() === other.shape.join() && isSameBytes(one.values, other.values)
}

function byName(left: { name: string }, right: { name: string }): number {
  return left.name < right.name ? -1 : left.name > right.name ? 1 : 0
}

function isSameBytes(left: Float32Array, right: Float32Array): boolean {
  return Buffer.compare(bytesOf(left), bytesOf(right)) === 0
}

/** The numbers' bytes, without a copy. */
export function bytesOf(values: Float32Array | Float64Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
}
