/** The rows of a Parquet file, one row group in memory at a time. Runs in a process of its own; see process.ts. */
import { type FileHandle, open } from 'node:fs/promises'
import { parquetReadObjects } from 'hyparquet'
import { OneroundError } from '../../errors.js'
import { chooseColumns, compressors } from './columns.js'
import { type Footer, footerBytes, type Group, guarded, parseFooter, tooLarge } from './footer.js'
import { malformedParquet } from './malformed.js'
import { checkPages, MAX_COLUMN_BYTES } from './pages.js'
import { lengthOf, parsers, plainValue } from './values.js'

/** No whole file is smaller: the magic at both ends, the footer's length, and a footer. */
const SMALLEST = 16

export type ParquetRow = Record<string, unknown>

/** @param needed fields that a row is asked for; a column of that name that cannot be read is refused */
export async function* readGroups(path: string, needed: readonly string[]): AsyncGenerator<ParquetRow[]> {
  const file = await open(path, 'r')
  try {
    const { size } = await file.stat()
    if (size < SMALLEST) throw malformedParquet(path, `${size} bytes`, `at least ${SMALLEST} bytes`)
    if (String.fromCharCode(...(await read(file, 0, 4, path))) !== 'PAR1')
      throw malformedParquet(path, 'no PAR1 at its beginning', 'PAR1 as the first four bytes')
    const length = footerBytes(await read(file, size - 8, size, path), size, path)
    const footer = parseFooter(await read(file, size - length, size, path), size, path)
    const columns = chooseColumns(footer, needed, path)
    let first = 0
    for (const group of footer.groups) {
      if (group.rows > 0) yield await readGroup(file, footer, group, first, columns, path)
      first += group.rows
    }
  } finally {
    await file.close()
  }
}

/** @param first place of the group's first row in the file */
async function readGroup(
  file: FileHandle,
  footer: Footer,
  group: Group,
  first: number,
  columns: string[],
  path: string,
): Promise<ParquetRow[]> {
  if (columns.length === 0) return Array.from({ length: group.rows }, () => ({}))
  let bytes = 0
  const parts = new Map<number, Uint8Array>()
  for (const { meta, start, end } of group.chunks) {
    if (!columns.includes(meta.path_in_schema[0] ?? '')) continue
    bytes += end - start
    if (bytes > MAX_COLUMN_BYTES)
      throw tooLarge(path, `a row group of more than ${bytes} bytes`, `at most ${MAX_COLUMN_BYTES} bytes`)
    const part = await read(file, start, end, path)
    checkPages(part, meta, path)
    parts.set(start, part)
  }
  const end = Math.max(...[...parts].map(([start, part]) => start + part.length))
  const rows = await parquetReadObjects({
    file: { byteLength: end, slice: (from, to = end) => checked(parts, from, to) },
    metadata: footer.metadata,
    columns,
    rowStart: first,
    rowEnd: first + group.rows,
    compressors,
    parsers,
  }).catch((cause: unknown) => guarded(path, 'its values', () => raise(cause)))
  if (rows.length !== group.rows) throw malformedParquet(path, `${rows.length} rows in a group`, `${group.rows}`)
  return guarded(path, 'its values', () => rows.map((row) => plainValue(row) as ParquetRow))
}

/** What was checked of a range, which may hold several columns and what lies between them: zeros there. */
function checked(parts: ReadonlyMap<number, Uint8Array>, from: number, to: number): ArrayBuffer {
  if (to - from > MAX_COLUMN_BYTES) throw new Error('columns far from each other')
  const range = new Uint8Array(to - from)
  for (const [start, part] of parts) {
    const first = Math.max(start, from)
    const last = Math.min(start + part.length, to)
    if (first < last) range.set(part.subarray(first - start, last - start), first - from)
  }
  return range.buffer
}

function raise(cause: unknown): never {
  throw cause
}

async function read(file: FileHandle, start: number, end: number, path: string): Promise<Uint8Array> {
  const bytes = new Uint8Array(end - start)
  for (let at = 0; at < bytes.length; ) {
    const { bytesRead } = await file.read(bytes, at, bytes.length - at, start + at)
    if (bytesRead === 0) throw malformedParquet(path, 'an end before its size', 'a file that nobody writes to')
    at += bytesRead
  }
  return bytes
}

/** Cuts the rows of a group into portions that take some milliseconds to hand over. @throws OneroundError MALFORMED */
export function* portions(rows: ParquetRow[], longest: number, path: string): Generator<ParquetRow[]> {
  let portion: ParquetRow[] = []
  let characters = 0
  for (const row of rows) {
    const length = lengthOf(row)
    if (length > longest) {
      throw new OneroundError('MALFORMED', `${path}: a row is too long.`, {
        found: `${length} characters`,
        expected: `rows of at most ${longest} characters`,
        fix: 'Cut longer documents when the file is written.',
      })
    }
    portion.push(row)
    characters += length
    if (characters < PORTION_CHARACTERS && portion.length < PORTION_ROWS) continue
    yield portion
    portion = []
    characters = 0
  }
  if (portion.length > 0) yield portion
}

const PORTION_CHARACTERS = 2 ** 16
const PORTION_ROWS = 256
