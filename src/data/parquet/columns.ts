/** Which columns of a Parquet file become fields of a row. */
import { createRequire } from 'node:module'
import { OneroundError } from '../../errors.js'
import type { Column, Footer } from './footer.js'

/** Node has zstd since 22.15; the types of version 20 do not know it. */
type Decompress = (bytes: Uint8Array, options: { maxOutputLength: number }) => Uint8Array
const zlib = createRequire(import.meta.url)('node:zlib') as Record<string, Decompress | undefined>

const DECOMPRESSORS: Readonly<Record<string, Decompress | undefined>> = {
  GZIP: zlib.gunzipSync,
  BROTLI: zlib.brotliDecompressSync,
  ZSTD: zlib.zstdDecompressSync,
}

/** For hyparquet, which brings snappy itself. A page that would become longer than it says is an error. */
export const compressors = Object.fromEntries(
  Object.entries(DECOMPRESSORS).flatMap(([codec, run]) =>
    run === undefined
      ? []
      : [[codec, (bytes: Uint8Array, length: number) => run(bytes, { maxOutputLength: Math.max(1, length) })]],
  ),
)
const CODECS = ['UNCOMPRESSED', 'SNAPPY', ...Object.keys(compressors)]

/**
 * The names of the columns to read: what the template needs, and every other column of single values that can be read.
 * A column that is not needed and cannot be read is like a field that no template uses.
 * @throws OneroundError UNSUPPORTED with the name and the type of a needed column that cannot be read, or with a codec
 */
export function chooseColumns(footer: Footer, needed: readonly string[], path: string): string[] {
  const chosen = footer.columns.filter((column) => {
    const reason = unreadable(column)
    if (!needed.includes(column.name)) return reason === undefined && column.children.length === 0
    if (reason === undefined) return true
    throw new OneroundError('UNSUPPORTED', `${path}: the column ${JSON.stringify(column.name)} cannot be read.`, {
      found: reason,
      expected: 'text, numbers, truth values, dates, times, or lists and structs of them',
      fix: 'Cast the column to text when the file is written, or export the table as JSON Lines.',
    })
  })
  const names = chosen.map((column) => column.name)
  for (const { chunks } of footer.groups) {
    for (const { meta } of chunks) {
      if (!names.includes(meta.path_in_schema[0] ?? '') || CODECS.includes(meta.codec)) continue
      throw new OneroundError('UNSUPPORTED', `${path} is compressed in a way that cannot be read.`, {
        found: String(meta.codec ?? 'an unknown codec').toLowerCase(),
        expected: CODECS.join(', ').toLowerCase(),
        fix: 'Write it with snappy (pyarrow: compression="snappy"); zstd needs Node 22.15 or later.',
      })
    }
  }
  return names
}

/** Why a column cannot be read, or undefined. */
function unreadable({ element, children }: Column): string | undefined {
  const { type, converted_type: converted, logical_type: logical } = element
  const named = logical?.type ?? converted
  if (children.length > 0) {
    if (named === 'MAP' || named === 'MAP_KEY_VALUE' || named === 'VARIANT') return named.toLowerCase()
    const inner = children.map(unreadable).find((reason) => reason !== undefined)
    return inner === undefined ? undefined : `${named === 'LIST' ? 'a list' : 'a struct'} of ${inner}`
  }
  // A list outside a LIST group is an old writer's; its rows would be told apart by guessing.
  if (element.repetition_type === 'REPEATED') return 'a repeated value without a list'
  const refused = [
    'DECIMAL',
    'TIME',
    'TIME_MILLIS',
    'TIME_MICROS',
    'BSON',
    'INTERVAL',
    'GEOMETRY',
    'GEOGRAPHY',
    'VARIANT',
  ]
  if (named !== undefined && refused.includes(named)) return named.toLowerCase()
  if (type === 'FIXED_LEN_BYTE_ARRAY' && named !== 'UUID' && named !== 'FLOAT16') return 'bytes of a fixed length'
  return undefined
}
