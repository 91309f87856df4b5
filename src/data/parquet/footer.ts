/** A Parquet file's footer: parsed by hyparquet after its counts and places were compared with the file's size. */
import { type ColumnMetaData, type FileMetaData, parquetMetadata, type SchemaElement } from 'hyparquet'
import { OneroundError } from '../../errors.js'
import { malformedParquet } from './malformed.js'
import { walkStruct } from './thrift.js'

const MAX_FOOTER_BYTES = 2 ** 24
/** Rows of a group are in memory at once. */
const MAX_GROUP_ROWS = 2 ** 22
/** A value of a nested column is a leaf of one of its lists. */
const MAX_GROUP_VALUES = 2 ** 24
const MAX_COLUMNS = 1024
const MAX_DEPTH = 8
const TRAILER = 8

/** One column as the schema has it, and the path of each of its leaves. */
export interface Column {
  name: string
  element: SchemaElement
  /** empty for a column without nesting */
  children: Column[]
}

export interface Group {
  rows: number
  /** in the order of the leaves */
  chunks: { meta: ColumnMetaData; start: number; end: number }[]
}

export interface Footer {
  metadata: FileMetaData
  columns: Column[]
  rows: number
  groups: Group[]
}

/** Bytes from the end of the file that hold the whole footer. @param tail the file's last 8 bytes */
export function footerBytes(tail: Uint8Array, fileBytes: number, path: string): number {
  const magic = String.fromCharCode(...tail.subarray(4, 8))
  if (magic === 'PARE') {
    throw new OneroundError('UNSUPPORTED', `${path} is encrypted.`, {
      found: 'a Parquet file with an encrypted footer',
      expected: 'a file that can be read without a key',
      fix: 'Write it again without encryption.',
    })
  }
  if (magic !== 'PAR1') throw malformedParquet(path, 'no PAR1 at its end', 'PAR1 as the last four bytes')
  const length = new DataView(tail.buffer, tail.byteOffset).getUint32(0, true)
  const most = Math.min(MAX_FOOTER_BYTES, fileBytes - TRAILER - 4)
  if (length > most) throw malformedParquet(path, `a footer of ${length} bytes`, `at most ${most} bytes`)
  return length + TRAILER
}

/**
 * @param bytes the end of the file, as long as footerBytes says
 * @throws OneroundError MALFORMED, UNSUPPORTED (encrypted columns, columns in other files)
 */
export function parseFooter(bytes: Uint8Array, fileBytes: number, path: string): Footer {
  const metadata = guarded(path, 'its footer', () => {
    walkStruct(bytes.subarray(0, bytes.length - TRAILER), 0)
    return parquetMetadata(bytes, { geoparquet: false })
  })
  const leaves: { path: string[]; element: SchemaElement }[] = []
  const columns = guarded(path, 'its schema', () => readSchema(metadata.schema, leaves))
  const rows = count(metadata.num_rows)
  // a row takes a bit at least, in all but the smallest files
  const most = 8 * fileBytes + 2 ** 16
  if (rows === undefined || rows > most)
    throw malformedParquet(path, `${metadata.num_rows} rows in ${fileBytes} bytes`, `at most ${most} rows`)
  const groups = guarded(path, 'its row groups', () =>
    metadata.row_groups.map((group, at) => readGroup(group, at, leaves, fileBytes - bytes.length, path)),
  )
  const sum = groups.reduce((total, group) => total + group.rows, 0)
  if (sum !== rows) throw malformedParquet(path, `${sum} rows in its groups`, `${rows} rows, as it says itself`)
  return { metadata, columns, rows, groups }
}

function readSchema(elements: SchemaElement[], leaves: { path: string[]; element: SchemaElement }[]): Column[] {
  const [root] = elements
  if (root === undefined || elements.length > 8 * MAX_COLUMNS) throw new Error(`a schema of ${elements.length} entries`)
  let next = 1
  const children = (of: SchemaElement, path: string[]): Column[] => {
    const wanted = of.num_children ?? 0
    if (!Number.isInteger(wanted) || wanted < 0 || wanted > elements.length - next)
      throw new Error(`an entry of ${wanted} parts`)
    if (path.length > MAX_DEPTH) throw new Error(`columns nested more than ${MAX_DEPTH} deep`)
    const names = new Set<string>()
    return Array.from({ length: wanted }, () => {
      const element = elements[next++]
      if (element === undefined) throw new Error('fewer entries than it says')
      const { name } = element
      if (typeof name !== 'string' || name === '' || name === '__proto__')
        throw new Error('a column without a usable name')
      if (names.has(name)) throw new Error('two columns of one name')
      names.add(name)
      const own = [...path, name]
      const parts = children(element, own)
      if ((element.type === undefined) !== parts.length > 0) throw new Error('a column with neither a type nor parts')
      if (parts.length === 0) leaves.push({ path: own, element })
      return { name, element, children: parts }
    })
  }
  const columns = children(root, [])
  if (next !== elements.length) throw new Error('more entries than its columns have')
  if (leaves.length === 0 || leaves.length > MAX_COLUMNS) throw new Error(`${leaves.length} columns`)
  const joined = new Set(leaves.map((leaf) => leaf.path.join('.')))
  if (joined.size !== leaves.length) throw new Error('two columns of one path')
  return columns
}

function readGroup(
  group: FileMetaData['row_groups'][number],
  at: number,
  leaves: { path: string[]; element: SchemaElement }[],
  dataEnd: number,
  path: string,
): Group {
  const where = `row group ${at}`
  const rows = count(group.num_rows)
  if (rows === undefined) throw new Error(`${where}: ${group.num_rows} rows`)
  if (rows > MAX_GROUP_ROWS)
    throw tooLarge(path, `${rows} rows in ${where}`, `at most ${MAX_GROUP_ROWS} rows in a group`)
  if (group.columns.length !== leaves.length)
    throw new Error(`${where}: ${group.columns.length} columns, not ${leaves.length}`)
  const chunks = leaves.map((leaf, i) => {
    const { meta_data: meta, file_path, crypto_metadata } = group.columns[i] ?? {}
    if (file_path !== undefined || crypto_metadata !== undefined) {
      throw new OneroundError('UNSUPPORTED', `${path} keeps a column elsewhere or encrypted.`, {
        found: crypto_metadata === undefined ? 'a column in another file' : 'an encrypted column',
        expected: 'all columns in the file itself, readable without a key',
        fix: 'Write the table again as one plain Parquet file.',
      })
    }
    if (meta === undefined) throw new Error(`${where}: a column without a description`)
    if (meta.type !== leaf.element.type || meta.path_in_schema.join('\0') !== leaf.path.join('\0'))
      throw new Error(`${where}: a column that is not the schema's`)
    const values = count(meta.num_values)
    const flat = leaf.path.length === 1 && leaf.element.repetition_type !== 'REPEATED'
    if (values === undefined || values > MAX_GROUP_VALUES || (flat && values !== rows))
      throw new Error(`${where}: ${meta.num_values} values in a column of ${rows} rows`)
    const bytes = count(meta.total_compressed_size)
    // the place that hyparquet itself begins at
    const start = count(meta.dictionary_page_offset || meta.data_page_offset)
    if (bytes === undefined || start === undefined || start < 4 || start + bytes > dataEnd)
      throw new Error(`${where}: a column outside the file`)
    return { meta, start, end: start + bytes }
  })
  return { rows, chunks }
}

export function tooLarge(path: string, found: string, expected: string): OneroundError {
  return new OneroundError('MEMORY', `${path} is too large to be read at once.`, {
    found,
    expected,
    fix: 'Write it with smaller row groups (pyarrow: row_group_size=10000), or as JSON Lines.',
  })
}

/** A whole number from 0 on, of whichever width the file wrote it. */
function count(value: unknown): number | undefined {
  const number = typeof value === 'bigint' ? Number(value) : value
  return typeof number === 'number' && Number.isSafeInteger(number) && number >= 0 ? number : undefined
}

/** Runs what may throw anything on hostile bytes. */
export function guarded<T>(path: string, what: string, run: () => T): T {
  try {
    return run()
  } catch (cause) {
    if (cause instanceof OneroundError) throw cause
    // a library's messages may quote bytes of the file; ours are phrases without any
    const found = cause instanceof Error && cause.constructor === Error ? cause.message : 'bytes that cannot be read'
    throw malformedParquet(path, `${what} with ${found.slice(0, 200)}`, 'what the Parquet format describes')
  }
}
