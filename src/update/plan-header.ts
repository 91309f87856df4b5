/**
 * The header that every update file of a LoRA plan has: behind the metadata it is the same bytes for all clients. A file
 * that has it, byte for byte, needs no parsing but of its metadata; `decodeUpdate` reads all others and says what is wrong.
 */
import { headerLength, LENGTH_BYTES, parseHeader } from '../model/safetensors-header.js'
import { layOutSafetensors } from '../model/safetensors-layout.js'
import { decodeInfo, type UpdateInfo } from './info.js'
import type { Plan } from './plan-schema.js'

export interface PlanTensor {
  name: string
  shape: number[]
  /** of its numbers in the file, counted from the first tensor's */
  first: number
  length: number
}

export interface PlanHeader {
  /** in the order of their bytes */
  tensors: readonly PlanTensor[]
  /** by layer of the plan */
  factors: readonly { a: PlanTensor; b: PlanTensor }[]
  /** the header from behind the metadata to its last bracket */
  rest: Buffer
}

/** A file's beginning, read by the plan's header. */
export interface PlanHead {
  info: UpdateInfo
  /** of the first tensor, in bytes */
  offset: number
}

/** What files of LoRA with both factors begin with; undefined where the plan trains something else. */
export function planHeader({ train, layers }: Pick<Plan, 'train' | 'layers'>): PlanHeader | undefined {
  if (train.trainable.kind !== 'lora') return undefined
  const shapes = new Map(
    layers.flatMap(({ name, in: inDim, out, rank }): [string, { dtype: string; shape: number[] }][] => [
      [`${name}.lora_A`, { dtype: 'F32', shape: [rank, inDim] }],
      [`${name}.lora_B`, { dtype: 'F32', shape: [out, rank] }],
    ]),
  )
  const { header, offsets } = layOutSafetensors(shapes, {})
  const tensors = new Map<string, PlanTensor>()
  for (const [name, offset] of offsets) {
    const shape = shapes.get(name)?.shape ?? []
    const length = shape.reduce((product, n) => product * n, 1)
    tensors.set(name, { name, shape, first: (offset - header.length) / 4, length })
  }
  const take = (name: string) => tensors.get(name) as PlanTensor
  return {
    tensors: [...tensors.values()],
    factors: layers.map(({ name }) => ({ a: take(`${name}.lora_A`), b: take(`${name}.lora_B`) })),
    // The metadata stands before it instead of the bracket, and a comma between them.
    rest: Buffer.concat([Buffer.from(','), Buffer.from(header.subarray(LENGTH_BYTES + 1, endOf(header)))]),
  }
}

/** Where the padding begins. */
function endOf(header: Uint8Array): number {
  let end = header.length
  while (end > 0 && header[end - 1] === 0x20) end--
  return end
}

/**
 * What a file says of itself, where its header is the plan's in the one spelling that oneround writes; else undefined.
 * `bytes` are its first ones, at least up to the end of the header. Throws MALFORMED for metadata that is not sound.
 */
export function readPlanHead(bytes: Uint8Array, { rest }: PlanHeader, source: string): PlanHead | undefined {
  if (bytes.length < LENGTH_BYTES) return undefined
  const length = headerLength(bytes, Number.MAX_SAFE_INTEGER, source)
  if (LENGTH_BYTES + length > bytes.length) return undefined
  const header = Buffer.from(bytes.buffer, bytes.byteOffset + LENGTH_BYTES, length)
  const end = endOf(header)
  const at = end - rest.length
  if (at <= 0 || length !== Math.ceil(end / 8) * 8 || header.compare(rest, 0, rest.length, at, end) !== 0)
    return undefined
  const own = Buffer.from(`${header.toString('utf8', 0, at)}}`)
  const { metadata, tensors } = parseHeader(own, LENGTH_BYTES + own.length, source)
  const written = Buffer.from(layOutSafetensors(new Map(), metadata).header.subarray(LENGTH_BYTES))
  if (tensors.length > 0 || written.compare(own, 0, own.length, 0, own.length) !== 0) return undefined
  const { info, kind } = decodeInfo(metadata, source)
  return kind === 'lora' ? { info, offset: LENGTH_BYTES + length } : undefined
}
