import { open } from 'node:fs/promises'
import { OneroundError } from '../errors.js'
import { fileError, readExactly } from '../text/bounded-file.js'
import { GgufCursor, malformedGguf, WindowTooSmall } from './gguf-cursor.js'
import { GGML_TYPES } from './gguf-types.js'
import { type GgufValue, readValue } from './gguf-values.js'

/* The layout is that of ggml's docs/gguf.md; the limits are ours. */

export interface GgufTensor {
  name: string
  /** ggml's name of the type, e.g. `Q4_1` */
  type: string
  /** slowest axis first, the reverse of the file: [out, in] */
  shape: number[]
  /** absolute byte offset in the file */
  offset: number
  bytes: number
}

export interface GgufFile {
  version: number
  metadata: ReadonlyMap<string, GgufValue>
  /** in the order of the file */
  tensors: GgufTensor[]
  fileBytes: number
  /** where asked for: each value's bytes, its type in front, for a file that shall hold the same */
  raw?: ReadonlyMap<string, Uint8Array>
}

interface GgufReadOptions {
  /** keep the values' bytes too; default false */
  raw?: boolean
}

const MAGIC = 0x46554747 // 'GGUF', little-endian
const DEFAULT_ALIGNMENT = 32
/** a vocabulary of 256,000 tokens with its merges takes about 10 MB */
const HEADER_LIMIT = 128 << 20
const FIRST_WINDOW = 4 << 20
const MAX_ENTRIES = 1 << 16
const MAX_NAME = 256
const MAX_DIMENSIONS = 4
const LEAST_ENTRY_BYTES = 13 // a key's length, a type, a value of one byte
const LEAST_TENSOR_BYTES = 32 // a name's length, one dimension, type, offset

/** Reads and checks the header of a file: metadata and where each tensor lies. No weight is read. */
export async function readGguf(file: string, o: GgufReadOptions = {}): Promise<GgufFile> {
  let handle: Awaited<ReturnType<typeof open>> | undefined
  try {
    handle = await open(file, 'r')
    const stat = await handle.stat()
    if (!stat.isFile()) throw malformedGguf(file, 'something that is not a plain file', 'a file')
    // the header does not say how long it is, so the window grows until it holds it
    for (let window = FIRST_WINDOW; ; window *= 4) {
      const bytes = await readExactly(handle, 0, Math.min(window, stat.size), file)
      try {
        return parseWindow(bytes, stat.size, file, o)
      } catch (cause) {
        if (!(cause instanceof WindowTooSmall)) throw cause
      }
    }
  } catch (cause) {
    throw cause instanceof OneroundError ? cause : fileError(file, cause)
  } finally {
    await handle?.close()
  }
}

/** The same from a whole file in memory. */
export function parseGguf(bytes: Uint8Array, source: string): GgufFile {
  return parseWindow(bytes, bytes.length, source)
}

function parseWindow(window: Uint8Array, fileBytes: number, source: string, o: GgufReadOptions = {}): GgufFile {
  const cursor = new GgufCursor(window, fileBytes, HEADER_LIMIT, source)
  const version = readVersion(cursor)
  const tensorCount = readCount(cursor, 'tensors', LEAST_TENSOR_BYTES)
  const entryCount = readCount(cursor, 'metadata entries', LEAST_ENTRY_BYTES)
  const metadata = new Map<string, GgufValue>()
  const raw = o.raw === true ? new Map<string, Uint8Array>() : undefined
  for (let i = 0; i < entryCount; i++) {
    const key = cursor.text('a metadata key', MAX_NAME)
    if (metadata.has(key)) throw malformedGguf(source, `the key ${JSON.stringify(key)} twice`, 'each key once')
    const start = cursor.at
    metadata.set(key, readValue(cursor, key))
    raw?.set(key, Uint8Array.from(window.subarray(start, cursor.at)))
  }
  const parts = metadata.get('split.count')
  if (typeof parts === 'number' && parts > 1) {
    throw new OneroundError('UNSUPPORTED', `${source} is one part of a GGUF model`, {
      found: `a model in ${parts} files`,
      expected: 'a model in one file',
      fix: 'Merge the parts first (llama-gguf-split --merge).',
    })
  }
  const alignment = alignmentOf(metadata, source)
  const tensors: GgufTensor[] = []
  const names = new Set<string>()
  for (let i = 0; i < tensorCount; i++) {
    const tensor = readTensor(cursor)
    if (names.has(tensor.name)) throw malformedGguf(source, `the tensor ${tensor.name} twice`, 'each tensor once')
    names.add(tensor.name)
    tensors.push(tensor)
  }
  placeTensors(tensors, padded(cursor.at, alignment), alignment, fileBytes, source)
  return { version, metadata, tensors, fileBytes, ...(raw === undefined ? {} : { raw }) }
}

function readVersion(cursor: GgufCursor): number {
  const { source } = cursor
  if (cursor.u32('the magic number') !== MAGIC) throw malformedGguf(source, 'another beginning', 'the letters GGUF')
  const version = cursor.u32('the version')
  if (version === 2 || version === 3) return version
  const bigEndian = version === 0x02000000 || version === 0x03000000
  throw new OneroundError('UNSUPPORTED', `${source} has a GGUF version that is not supported`, {
    found: bigEndian ? 'a big-endian file' : `version ${version}`,
    expected: 'version 2 or 3, little-endian',
    fix: 'Convert the model again with a current llama.cpp.',
  })
}

function readCount(cursor: GgufCursor, what: string, leastBytes: number): number {
  const count = cursor.size(`the number of ${what}`)
  if (count > MAX_ENTRIES) throw malformedGguf(cursor.source, `${count} ${what}`, `at most ${MAX_ENTRIES}`)
  cursor.expect(count, leastBytes, what)
  return count
}

function alignmentOf(metadata: ReadonlyMap<string, GgufValue>, source: string): number {
  const value = metadata.get('general.alignment') ?? DEFAULT_ALIGNMENT
  if (typeof value === 'number' && value >= 1 && value <= 1 << 16 && Number.isInteger(Math.log2(value))) return value
  throw malformedGguf(source, `general.alignment ${String(value)}`, 'a power of two up to 65536')
}

/** A tensor's description; its offset is still the one from the start of the data. */
function readTensor(cursor: GgufCursor): GgufTensor {
  const { source } = cursor
  const name = cursor.text('a tensor name', MAX_NAME)
  const dimensions = cursor.u32(`the dimensions of ${name}`)
  if (dimensions < 1 || dimensions > MAX_DIMENSIONS) {
    throw malformedGguf(source, `${name} of ${dimensions} dimensions`, `1 to ${MAX_DIMENSIONS}`)
  }
  const shape: number[] = []
  for (let i = 0; i < dimensions; i++) shape.unshift(cursor.size(`a dimension of ${name}`))
  const elements = shape.reduce((product, n) => product * n, 1)
  if (elements < 1 || elements > Number.MAX_SAFE_INTEGER)
    throw malformedGguf(source, `${name} [${shape}]`, 'a sane size')
  const typeNumber = cursor.u32(`the type of ${name}`)
  const type = GGML_TYPES.get(typeNumber)
  if (type === undefined) {
    throw new OneroundError('UNSUPPORTED', `${source}: ${name} has a type that is not known`, {
      found: `type ${typeNumber}`,
      expected: [...GGML_TYPES.values()].map((known) => known.name).join(', '),
      fix: 'Use a file of this model in another type.',
    })
  }
  const row = shape[shape.length - 1] ?? 0
  if (row % type.elements !== 0) {
    throw malformedGguf(source, `${name} with rows of ${row}`, `whole ${type.name} blocks of ${type.elements}`)
  }
  const bytes = (elements / type.elements) * type.bytes
  return { name, type: type.name, shape, offset: cursor.size(`the offset of ${name}`), bytes }
}

/** Makes offsets absolute. Tensors must lie one behind another, each at the next aligned place, as llama.cpp demands. */
function placeTensors(
  tensors: GgufTensor[],
  dataStart: number,
  alignment: number,
  fileBytes: number,
  source: string,
): void {
  let at = 0
  for (const tensor of [...tensors].sort((a, b) => a.offset - b.offset)) {
    if (tensor.offset !== at) {
      throw malformedGguf(
        source,
        `${tensor.name} at ${tensor.offset} of the data`,
        `${at}, behind the tensor before it`,
      )
    }
    const end = dataStart + at + tensor.bytes
    if (end > fileBytes) throw malformedGguf(source, `${tensor.name} up to byte ${end}`, `an end before ${fileBytes}`)
    at = padded(at + tensor.bytes, alignment)
    tensor.offset += dataStart
  }
}

function padded(offset: number, alignment: number): number {
  return Math.ceil(offset / alignment) * alignment
}
