import { OneroundError } from '../errors.js'
import { isRecord } from '../text/bounded-file.js'
import { outlineFault } from './json-outline.js'

/*
 * The format, as the safetensors project's README states it: 8 bytes little-endian header length, a JSON header that
 * begins with '{' and may end in spaces, then the tensors' bytes without holes.
 */

export interface SafetensorsEntry {
  name: string
  dtype: string
  shape: number[]
  /** absolute byte offset in the file */
  offset: number
  bytes: number
}

export interface SafetensorsHeader {
  /** in the order of their bytes */
  tensors: SafetensorsEntry[]
  metadata: Record<string, string>
  fileBytes: number
}

/** Bytes of one element. */
export const DTYPE_BYTES: ReadonlyMap<string, number> = new Map([
  ['BOOL', 1],
  ['U8', 1],
  ['I8', 1],
  ['F8_E5M2', 1],
  ['F8_E4M3', 1],
  ['I16', 2],
  ['U16', 2],
  ['F16', 2],
  ['BF16', 2],
  ['I32', 4],
  ['U32', 4],
  ['F32', 4],
  ['F64', 8],
  ['I64', 8],
  ['U64', 8],
])

/** The limit of the reference implementation. */
export const HEADER_LIMIT = 100_000_000
export const LENGTH_BYTES = 8
const MAX_DIMENSIONS = 8
/** tensors of one file, four keys each, and as many entries of metadata */
const MAX_KEYS = 2_000_000

export function malformedSafetensors(source: string, found: string, expected: string): OneroundError {
  return new OneroundError('MALFORMED', `${source} is not a sound safetensors file`, {
    found,
    expected,
    fix: 'Download or write the file again.',
  })
}

/** The header's length in bytes, checked against the file's size and the limit before anything is read or allocated. */
export function headerLength(prefix: Uint8Array, fileBytes: number, source: string): number {
  if (fileBytes < LENGTH_BYTES || prefix.length < LENGTH_BYTES) {
    throw malformedSafetensors(source, `${fileBytes} bytes`, 'at least the 8 bytes of the header length')
  }
  const length = new DataView(prefix.buffer, prefix.byteOffset, LENGTH_BYTES).getBigUint64(0, true)
  if (length > BigInt(HEADER_LIMIT)) {
    throw malformedSafetensors(source, `a header of ${length} bytes`, `at most ${HEADER_LIMIT} bytes`)
  }
  if (length < 2n || LENGTH_BYTES + Number(length) > fileBytes) {
    throw malformedSafetensors(
      source,
      `a header of ${length} bytes in a file of ${fileBytes}`,
      'a header within the file',
    )
  }
  return Number(length)
}

/** Checks everything that a header says. `fileBytes` is the size of the whole file. */
export function parseHeader(header: Uint8Array, fileBytes: number, source: string): SafetensorsHeader {
  const root = parseRoot(header, source)
  const metadata: Record<string, string> = {}
  const tensors: SafetensorsEntry[] = []
  const dataStart = LENGTH_BYTES + header.length
  for (const [name, value] of Object.entries(root)) {
    if (name === '__metadata__') readMetadata(value, metadata, source)
    else tensors.push(readEntry(name, value, dataStart, fileBytes, source))
  }
  checkCoverage(tensors, dataStart, fileBytes, source)
  return { tensors, metadata, fileBytes }
}

function parseRoot(header: Uint8Array, source: string): Record<string, unknown> {
  if (header[0] !== 0x7b) throw malformedSafetensors(source, `a header that begins with byte ${header[0]}`, "'{'")
  let root: unknown
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(header)
    const fault = outlineFault(text, { depth: 3, keys: MAX_KEYS, items: MAX_DIMENSIONS })
    if (fault !== undefined) throw malformedSafetensors(source, fault, 'a header that names each tensor once')
    root = JSON.parse(text)
  } catch (cause) {
    if (cause instanceof OneroundError) throw cause
    throw malformedSafetensors(source, `a header that is not JSON: ${String(cause)}`, 'a JSON object in UTF-8')
  }
  if (!isRecord(root)) throw malformedSafetensors(source, 'a header that is not an object', 'a JSON object')
  if (Object.hasOwn(root, '__proto__')) throw malformedSafetensors(source, 'a tensor named __proto__', 'another name')
  return root
}

function readMetadata(value: unknown, into: Record<string, string>, source: string): void {
  if (!isRecord(value)) throw malformedSafetensors(source, '__metadata__ that is not an object', 'an object of strings')
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== 'string' || key === '__proto__') {
      throw malformedSafetensors(source, `metadata ${JSON.stringify(key)} of type ${typeof text}`, 'a string')
    }
    into[key] = text
  }
}

function readEntry(
  name: string,
  value: unknown,
  dataStart: number,
  fileBytes: number,
  source: string,
): SafetensorsEntry {
  const label = `tensor ${JSON.stringify(name)}`
  if (name === '') throw malformedSafetensors(source, 'a tensor without a name', 'a name')
  if (!isRecord(value)) throw malformedSafetensors(source, `${label} that is not an object`, 'an object')
  const { dtype, shape, data_offsets: offsets, ...rest } = value
  const extra = Object.keys(rest)[0]
  if (extra !== undefined) {
    throw malformedSafetensors(
      source,
      `${label} with the key ${JSON.stringify(extra)}`,
      'dtype, shape and data_offsets',
    )
  }
  const elementBytes = typeof dtype === 'string' ? DTYPE_BYTES.get(dtype) : undefined
  if (typeof dtype !== 'string' || elementBytes === undefined) {
    throw new OneroundError('UNSUPPORTED', `${source}: ${label} has a type that is not known`, {
      found: JSON.stringify(dtype) ?? 'none',
      expected: [...DTYPE_BYTES.keys()].join(', '),
      fix: 'Convert the tensor to one of these types.',
    })
  }
  if (!isIntegers(shape)) throw malformedSafetensors(source, `${label} with a bad shape`, 'non-negative integers')
  if (!isIntegers(offsets) || offsets.length !== 2) {
    throw malformedSafetensors(source, `${label} with bad data_offsets`, 'two non-negative integers')
  }
  const bytes = shape.reduce((product, n) => product * n, elementBytes)
  const [begin = 0, end = 0] = offsets
  if (!Number.isSafeInteger(bytes) || end - begin !== bytes) {
    throw malformedSafetensors(source, `${label} of ${end - begin} bytes`, `${bytes} bytes for ${dtype} [${shape}]`)
  }
  if (dataStart + end > fileBytes) {
    throw malformedSafetensors(
      source,
      `${label} up to byte ${dataStart + end} of ${fileBytes}`,
      'a tensor within the file',
    )
  }
  return { name, dtype, shape, offset: dataStart + begin, bytes }
}

/** Tensors must lie one behind another from the header to the end: no hole, no overlap, nothing behind the last. */
function checkCoverage(tensors: SafetensorsEntry[], dataStart: number, fileBytes: number, source: string): void {
  tensors.sort((a, b) => a.offset - b.offset || a.bytes - b.bytes)
  let at = dataStart
  for (const { name, offset, bytes } of tensors) {
    if (offset !== at) {
      const what = offset < at ? 'overlaps the one before it' : `leaves a hole of ${offset - at} bytes before it`
      throw malformedSafetensors(source, `tensor ${JSON.stringify(name)} ${what}`, 'tensors one behind another')
    }
    at += bytes
  }
  if (at !== fileBytes) {
    throw malformedSafetensors(source, `${fileBytes - at} bytes behind the last tensor`, 'nothing behind it')
  }
}

function isIntegers(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0)
}
