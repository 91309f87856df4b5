/** Parquet files byte by byte, so that any count or size in them can lie. One column of text, one row group. */
import { Buffer } from 'node:buffer'

type Field = [id: number, kind: 'i32' | 'i64' | 'text' | 'struct' | 'list', value: number | string | Field[] | Item[]]
type Item = number | string | Field[]
const KINDS = { i32: 5, i64: 6, text: 8, list: 9, struct: 12 }

function unsigned(value: number): number[] {
  const out: number[] = []
  let left = BigInt(value)
  do {
    out.push(Number(left & 0x7fn) | (left > 0x7fn ? 0x80 : 0))
    left >>= 7n
  } while (left > 0n)
  return out
}

const signed = (value: number) => unsigned(value < 0 ? -2 * value - 1 : 2 * value)

/** A struct in Thrift's compact protocol. */
export function struct(fields: Field[]): number[] {
  return [...fields.flatMap(([id, kind, value]) => [KINDS[kind], ...signed(id), ...encode(kind, value)]), 0]
}

function encode(kind: Field[1], value: Field[2] | Item): number[] {
  if (kind === 'text') return [...unsigned(Buffer.byteLength(value as string)), ...Buffer.from(value as string)]
  if (kind === 'struct') return struct(value as Field[])
  if (kind === 'list') {
    const items = value as Item[]
    const [first] = items
    const inner = typeof first === 'number' ? 'i32' : typeof first === 'string' ? 'text' : 'struct'
    return [0xf0 | KINDS[inner], ...unsigned(items.length), ...items.flatMap((item) => encode(inner, item))]
  }
  return signed(value as number)
}

export interface Lies {
  rows?: number
  groupRows?: number
  values?: number
  pageValues?: number
  compressed?: number
  uncompressed?: number
  /** of the column, by Parquet's number; 0 none, 1 snappy, 5 LZ4 */
  codec?: number
  start?: number
  length?: number
  name?: string
  /** the schema's second entry */
  schema?: Field[]
  children?: number
  /** of the page; default: the rows' levels and texts */
  body?: number[]
  footer?: (sound: number[]) => number[]
}

/** A file of the column `text` whose rows are `texts`. */
export function parquetFile(texts: readonly string[] = ['one', 'two'], lies: Lies = {}): Uint8Array {
  const n = texts.length
  const levels = [...unsigned(2 * n), 1]
  const content = texts.flatMap((text) => {
    const length = Buffer.alloc(4)
    length.writeUInt32LE(Buffer.byteLength(text))
    return [...length, ...Buffer.from(text)]
  })
  const body = lies.body ?? [levels.length, 0, 0, 0, ...levels, ...content]
  const page = struct([
    [1, 'i32', 0],
    [2, 'i32', lies.uncompressed ?? body.length],
    [3, 'i32', lies.compressed ?? body.length],
    // its values, PLAIN, RLE, RLE
    [
      5,
      'struct',
      [
        [1, 'i32', lies.pageValues ?? n],
        [2, 'i32', 0],
        [3, 'i32', 3],
        [4, 'i32', 3],
      ],
    ],
  ])
  const name = lies.name ?? 'text'
  const length = lies.length ?? page.length + body.length
  const chunk: Field[] = [
    [1, 'i32', 6],
    [2, 'list', [0, 3]],
    [3, 'list', [name]],
    [4, 'i32', lies.codec ?? 0],
    [5, 'i64', lies.values ?? n],
    [6, 'i64', length],
    [7, 'i64', length],
    [9, 'i64', lies.start ?? 4],
  ]
  // optional UTF-8
  const column: Field[] = lies.schema ?? [
    [1, 'i32', 6],
    [3, 'i32', 1],
    [4, 'text', name],
    [6, 'i32', 0],
  ]
  const metadata = struct([
    [1, 'i32', 1],
    [
      2,
      'list',
      [
        [
          [4, 'text', 'schema'],
          [5, 'i32', lies.children ?? 1],
        ],
        column,
      ],
    ],
    [3, 'i64', lies.rows ?? n],
    [
      4,
      'list',
      [
        [
          [
            1,
            'list',
            [
              [
                [2, 'i64', 0],
                [3, 'struct', chunk],
              ],
            ],
          ],
          [2, 'i64', length],
          [3, 'i64', lies.groupRows ?? n],
        ],
      ],
    ],
  ])
  const footer = lies.footer?.(metadata) ?? metadata
  const size = Buffer.alloc(4)
  size.writeUInt32LE(footer.length)
  return Uint8Array.from([...Buffer.from('PAR1'), ...page, ...body, ...footer, ...size, ...Buffer.from('PAR1')])
}
