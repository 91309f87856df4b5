/** The beginning of a GGUF file: metadata and where each tensor will lie. The layout is that of ggml's docs/gguf.md. */
import { GGML_TYPES } from './gguf-types.js'

/** One metadata entry; `raw` is a value as another file holds it, its type in front. */
export type GgufEntry =
  | readonly [key: string, kind: 'u32' | 'f32' | 'bool' | 'string', value: number | boolean | string]
  | readonly [key: string, kind: 'i32s', value: readonly number[]]
  | readonly [key: string, kind: 'strings', value: readonly string[]]
  | readonly [key: string, kind: 'raw', value: Uint8Array]

interface GgufLayout {
  /** everything up to the first tensor */
  header: Uint8Array
  /** where each tensor's bytes begin in the file, in their order */
  offsets: ReadonlyMap<string, number>
  /** of the whole file, padding behind the last tensor included */
  bytes: number
}

const MAGIC = 0x46554747
const VERSION = 3
const GGUF_ALIGNMENT = 32
const TYPE_IDS = new Map([...GGML_TYPES].map(([id, type]) => [type.name, { id, ...type }]))
const U32 = 4
const I32 = 5
const F32 = 6
const BOOL = 7
const STRING = 8
const ARRAY = 9

/** @param tensors in the order in which they will lie; shapes slowest axis first, [out, in] */
export function layOutGguf(
  entries: readonly GgufEntry[],
  tensors: readonly { name: string; type: string; shape: readonly number[] }[],
): GgufLayout {
  const writer = new Bytes()
  writer.u32(MAGIC)
  writer.u32(VERSION)
  writer.u64(tensors.length)
  writer.u64(entries.length)
  for (const entry of entries) writeEntry(writer, entry)
  const begins = new Map<string, number>()
  let end = 0
  for (const { name, type, shape } of tensors) {
    const known = TYPE_IDS.get(type)
    if (known === undefined) throw new RangeError(`ggml has no type ${type}`)
    writer.text(name)
    writer.u32(shape.length)
    for (const n of [...shape].reverse()) writer.u64(n)
    writer.u32(known.id)
    writer.u64(end)
    begins.set(name, end)
    end = aligned(end + (shape.reduce((product, n) => product * n, 1) / known.elements) * known.bytes)
  }
  const header = writer.padded(GGUF_ALIGNMENT)
  const offsets = new Map([...begins].map(([name, begin]) => [name, header.length + begin]))
  return { header, offsets, bytes: header.length + end }
}

function aligned(offset: number): number {
  return Math.ceil(offset / GGUF_ALIGNMENT) * GGUF_ALIGNMENT
}

function writeEntry(writer: Bytes, [key, kind, value]: GgufEntry): void {
  writer.text(key)
  if (kind === 'raw') writer.append(value)
  else if (kind === 'strings') {
    writer.array(STRING, value.length)
    for (const text of value) writer.text(text)
  } else if (kind === 'i32s') {
    writer.array(I32, value.length)
    writer.append(new Uint8Array(Int32Array.from(value).buffer))
  } else writeScalar(writer, kind, value)
}

function writeScalar(writer: Bytes, kind: 'u32' | 'f32' | 'bool' | 'string', value: number | boolean | string): void {
  writer.u32({ u32: U32, f32: F32, bool: BOOL, string: STRING }[kind])
  if (kind === 'u32') writer.u32(Number(value))
  else if (kind === 'f32') writer.f32(Number(value))
  else if (kind === 'bool') writer.append(Uint8Array.of(value === true ? 1 : 0))
  else writer.text(String(value))
}

/** A buffer that grows. */
class Bytes {
  #buffer = Buffer.alloc(1 << 16)
  #length = 0

  #reserve(count: number): number {
    const at = this.#length
    this.#length += count
    if (this.#length > this.#buffer.length) {
      const larger = Buffer.alloc(2 * this.#length)
      this.#buffer.copy(larger, 0, 0, at)
      this.#buffer = larger
    }
    return at
  }

  u32(value: number): void {
    const at = this.#reserve(4)
    this.#buffer.writeUInt32LE(value, at)
  }

  u64(value: number): void {
    const at = this.#reserve(8)
    this.#buffer.writeBigUInt64LE(BigInt(value), at)
  }

  f32(value: number): void {
    const at = this.#reserve(4)
    this.#buffer.writeFloatLE(value, at)
  }

  append(bytes: Uint8Array): void {
    const at = this.#reserve(bytes.length)
    this.#buffer.set(bytes, at)
  }

  text(text: string): void {
    const bytes = Buffer.from(text, 'utf8')
    this.u64(bytes.length)
    this.append(bytes)
  }

  array(type: number, count: number): void {
    this.u32(ARRAY)
    this.u32(type)
    this.u64(count)
  }

  padded(to: number): Uint8Array {
    this.#reserve((to - (this.#length % to)) % to)
    return this.#buffer.subarray(0, this.#length)
  }
}
