import { type GgufCursor, malformedGguf } from './gguf-cursor.js'

type GgufNumbers =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array
  | BigUint64Array
  | BigInt64Array

/** 64-bit integers come as numbers where a double holds them exactly. Arrays of booleans are bytes of 0 and 1. */
export type GgufValue = number | bigint | boolean | string | readonly string[] | GgufNumbers

const STRING = 8
const ARRAY = 9
const BOOL = 7
const STRING_LIMIT = 16 << 20
const ARRAY_LIMIT = 1 << 22

/** Numeric metadata types of the GGUF specification, and the typed array that holds each. */
const NUMERIC: ReadonlyMap<number, { bytes: number; lay: (buffer: ArrayBuffer) => GgufNumbers }> = new Map([
  [0, { bytes: 1, lay: (buffer: ArrayBuffer): GgufNumbers => new Uint8Array(buffer) }],
  [1, { bytes: 1, lay: (buffer: ArrayBuffer): GgufNumbers => new Int8Array(buffer) }],
  [2, { bytes: 2, lay: (buffer: ArrayBuffer): GgufNumbers => new Uint16Array(buffer) }],
  [3, { bytes: 2, lay: (buffer: ArrayBuffer): GgufNumbers => new Int16Array(buffer) }],
  [4, { bytes: 4, lay: (buffer: ArrayBuffer): GgufNumbers => new Uint32Array(buffer) }],
  [5, { bytes: 4, lay: (buffer: ArrayBuffer): GgufNumbers => new Int32Array(buffer) }],
  [6, { bytes: 4, lay: (buffer: ArrayBuffer): GgufNumbers => new Float32Array(buffer) }],
  [BOOL, { bytes: 1, lay: (buffer: ArrayBuffer): GgufNumbers => new Uint8Array(buffer) }],
  [10, { bytes: 8, lay: (buffer: ArrayBuffer): GgufNumbers => new BigUint64Array(buffer) }],
  [11, { bytes: 8, lay: (buffer: ArrayBuffer): GgufNumbers => new BigInt64Array(buffer) }],
  [12, { bytes: 8, lay: (buffer: ArrayBuffer): GgufNumbers => new Float64Array(buffer) }],
])

/** One metadata value with its type in front. */
export function readValue(cursor: GgufCursor, key: string): GgufValue {
  const type = cursor.u32(`the type of ${key}`)
  if (type === ARRAY) return readArray(cursor, key)
  if (type === STRING) return cursor.text(key, STRING_LIMIT)
  const [value] = readNumbers(cursor, type, 1, key)
  if (value === undefined) throw malformedGguf(cursor.source, `no value for ${key}`, 'one value')
  if (type === BOOL) return value === 1
  return typeof value === 'bigint' && Number.isSafeInteger(Number(value)) ? Number(value) : value
}

function readArray(cursor: GgufCursor, key: string): GgufValue {
  const type = cursor.u32(`the element type of ${key}`)
  const count = cursor.size(`the length of ${key}`)
  if (count > ARRAY_LIMIT) throw malformedGguf(cursor.source, `${key} of ${count} elements`, `at most ${ARRAY_LIMIT}`)
  if (type !== STRING) return readNumbers(cursor, type, count, key)
  cursor.expect(count, 8, key) // a string has at least its length
  const texts: string[] = []
  for (let i = 0; i < count; i++) texts.push(cursor.text(`an element of ${key}`, STRING_LIMIT))
  return texts
}

function readNumbers(cursor: GgufCursor, type: number, count: number, key: string): GgufNumbers {
  const numeric = NUMERIC.get(type)
  if (numeric === undefined) {
    throw malformedGguf(cursor.source, `${key} of type ${type}`, 'one of the types 0 to 12, arrays not inside arrays')
  }
  const values = numeric.lay(cursor.copy(count * numeric.bytes, key))
  if (type === BOOL && values.some((value: number | bigint) => value !== 0 && value !== 1)) {
    throw malformedGguf(cursor.source, `${key} with a boolean that is neither 0 nor 1`, '0 or 1')
  }
  return values
}
