/** The bytes of an update file, checked as far as can be without a plan. No tensor is copied here. */
import { MOST_AXES } from '../adapter/dense.js'
import { OneroundError } from '../errors.js'
import type { SafetensorsTensor } from '../model/safetensors.js'
import { headerLength, LENGTH_BYTES, parseHeader } from '../model/safetensors-header.js'
import { layOutSafetensors } from '../model/safetensors-layout.js'
import { decodeInfo, type UpdateInfo } from './info.js'
import { LIMITS } from './limits.js'

/** Ends the names of an update's tensors, by what trains, where there is one tensor for each name. */
export const ENDINGS = { full: '.delta', ffa: '.lora_B', 'fed-sb': '.core' } as const
type SingleKind = keyof typeof ENDINGS

/** One layer's factors, still bytes: views of the file. */
export interface RawLayer {
  name: string
  in: number
  out: number
  rank: number
  a: Uint8Array
  b: Uint8Array
}

/** The one tensor that a layer, or a whole tensor of the base, has in the update; still bytes. */
export interface RawTensor {
  /** without the kind's ending */
  name: string
  shape: number[]
  values: Uint8Array
}

type DecodedUpdate =
  | { info: UpdateInfo; kind: 'lora'; layers: RawLayer[] }
  | { info: UpdateInfo; kind: SingleKind; tensors: RawTensor[] }

/**
 * Refuses everything that is not exactly what serializeUpdate writes: unknown keys, other tensors, holes, trailing
 * bytes, a second spelling of the header. So two different files never mean the same, and none carries a hidden note.
 */
export function decodeUpdate(bytes: Uint8Array, source: string): DecodedUpdate {
  const length = headerLength(bytes, bytes.length, source)
  if (length > LIMITS.updateHeaderBytes)
    throw malformed(source, `a header of ${length} bytes`, `at most ${LIMITS.updateHeaderBytes}`)
  const header = parseHeader(bytes.subarray(LENGTH_BYTES, LENGTH_BYTES + length), bytes.length, source)
  const { info, kind } = decodeInfo(header.metadata, source)
  if (header.tensors.length > 2 * LIMITS.layers)
    throw malformed(source, `${header.tensors.length} tensors`, `at most ${2 * LIMITS.layers}`)
  const tensors = new Map<string, SafetensorsTensor>()
  for (const { name, dtype, shape, offset, bytes: size } of header.tensors) {
    if (dtype !== 'F32') throw malformed(source, `tensor '${name.slice(0, 200)}' of type ${dtype}`, 'F32')
    tensors.set(name, { dtype, shape, data: bytes.subarray(offset, offset + size) })
  }
  const decoded: DecodedUpdate =
    kind === 'lora'
      ? { info, kind, layers: pair(tensors, source) }
      : { info, kind, tensors: single(kind, tensors, source) }
  // The numbers lie where the header says: with the canonical header and length, every byte is the canonical one.
  const canonical = layOutSafetensors(tensors, header.metadata)
  if (canonical.bytes !== bytes.length || !sameBytes(canonical.header, bytes.subarray(0, canonical.header.length)))
    throw malformed(source, 'another layout than the one that oneround writes', 'the canonical bytes')
  return decoded
}

/** The shapes that a kind's tensors may have. */
const SHAPES: Readonly<Record<SingleKind, { fits(shape: readonly number[]): boolean; words: string }>> = {
  full: { fits: ({ length }) => length >= 1 && length <= MOST_AXES, words: 'one or two axes' },
  ffa: { fits: ([, rank = 0, ...more]) => rank <= LIMITS.rank && more.length === 0, words: '[out, rank]' },
  'fed-sb': {
    fits: ([rank = 0, cols, ...more]) => rank <= LIMITS.rank && rank === cols && more.length === 0,
    words: '[rank, rank]',
  },
}

function single(kind: SingleKind, tensors: ReadonlyMap<string, SafetensorsTensor>, source: string): RawTensor[] {
  const ending = ENDINGS[kind]
  const { fits, words } = SHAPES[kind]
  const singles = [...tensors].map(([full, { shape, data }]) => {
    const name = full.slice(0, -ending.length)
    const sound = shape.length >= 1 && !shape.includes(0) && fits(shape)
    if (!full.endsWith(ending) || name === '' || name.length > LIMITS.layerName || !sound)
      throw malformed(source, `'${full.slice(0, 200)}' [${shape}]`, `tensors NAME${ending} of ${words}`)
    return { name, shape, values: data }
  })
  if (singles.length === 0) throw malformed(source, 'no tensor', 'at least one tensor')
  return singles
}

function pair(tensors: ReadonlyMap<string, SafetensorsTensor>, source: string): RawLayer[] {
  const layers: RawLayer[] = []
  let used = 0
  for (const [name, a] of tensors) {
    if (!name.endsWith('.lora_A')) continue
    const layer = name.slice(0, -'.lora_A'.length)
    const b = tensors.get(`${layer}.lora_B`)
    const [rank = 0, inputs = 0] = a.shape
    const [outputs = 0, rankB = 0] = b?.shape ?? []
    const isPair = b !== undefined && a.shape.length === 2 && b.shape.length === 2 && rank === rankB
    if (
      !isPair ||
      rank < 1 ||
      inputs < 1 ||
      outputs < 1 ||
      rank > LIMITS.rank ||
      layer === '' ||
      layer.length > LIMITS.layerName
    ) {
      throw malformed(
        source,
        `'${layer.slice(0, 200)}' with lora_A [${a.shape}], lora_B ${b === undefined ? 'missing' : `[${b.shape}]`}`,
        'lora_A [rank, in] and lora_B [out, rank]',
      )
    }
    used += 2
    layers.push({ name: layer, in: inputs, out: outputs, rank, a: a.data, b: b.data })
  }
  if (used !== tensors.size)
    throw malformed(source, 'a tensor that is no pair of lora_A and lora_B', 'two factors a layer and nothing else')
  if (layers.length === 0) throw malformed(source, 'no layer', 'at least one layer')
  return layers
}

function sameBytes(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && Buffer.compare(left, right) === 0
}

function malformed(source: string, found: string, expected: string): OneroundError {
  return new OneroundError('MALFORMED', `${source} is not a sound update: it has ${found}.`, {
    found,
    expected,
    fix: 'Have the client train again and send its update file unchanged.',
  })
}
