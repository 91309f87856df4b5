/** Rows of comma- and tab-separated files, as objects of texts. */
import { type Info, type Options, type Parser, parse } from 'csv-parse'
import { OneroundError } from '../errors.js'
import { MAX_LINE_BYTES, malformed, readLines } from './lines.js'
import type { Slices } from './slices.js'

/** More are no table of texts. */
export const MAX_COLUMNS = 1024

/** Characters that the parser gets at once: a millisecond's work. */
const BATCH = 2 ** 15

interface Found {
  record: string[]
  info: Info
}

/**
 * Hands each row to `take` with the line it ends in, from 1. CSV is RFC 4180's: quotes around a cell, doubled inside it;
 * line ends inside a cell become LF. TSV has no quoting (IANA text/tab-separated-values): a quote is text.
 * @param columns names of the columns; without them the first line holds them
 * @returns the file's SHA-256, hexadecimal
 * @throws OneroundError MALFORMED with file and line; ARGUMENT for bad `columns`; IO
 */
export async function readTable(
  path: string,
  kind: 'csv' | 'tsv',
  columns: readonly string[] | undefined,
  slices: Slices,
  take: (row: Record<string, string>, line: number) => Promise<void>,
): Promise<string> {
  let names = columns
  if (names !== undefined) checkGiven(names)
  const parser = parse({
    delimiter: kind === 'tsv' ? '\t' : ',',
    quote: kind === 'tsv' ? null : '"',
    record_delimiter: '\n',
    info: true,
    max_record_size: MAX_LINE_BYTES,
    relax_column_count: true,
    skip_empty_lines: true,
  } satisfies Options)
  // Errors are looked at right after each write; without a listener they would end the process.
  parser.on('error', () => undefined)
  let batch: string[] = []
  let characters = 0
  let rows = 0
  const drain = async (): Promise<void> => {
    if (parser.errored) throw notTable(parser.errored, path)
    for (let found = next(parser); found !== undefined; found = next(parser)) {
      const { lines } = found.info
      if (names === undefined) names = checkHeader(found.record, path, lines)
      else if (rows++ === 0 && found.record.join('\n') === columns?.join('\n')) throw namedTwice(path, lines)
      else await take(toRow(names, found.record, path, lines), lines)
    }
  }
  const flush = async (): Promise<void> => {
    parser.write(batch.join(''))
    batch = []
    characters = 0
    await drain()
  }
  try {
    const sha256 = await readLines(path, slices, async (text) => {
      batch.push(text, '\n')
      characters += text.length + 1
      if (characters >= BATCH) await flush()
    })
    if (characters > 0) await flush()
    const ended = new Promise((resolve) => parser.once('end', resolve).once('close', resolve))
    parser.end()
    await drain()
    // reading on after the last row is what makes a stream end
    parser.resume()
    await ended
    await drain()
    return sha256
  } finally {
    parser.destroy()
  }
}

function next(parser: Parser): Found | undefined {
  return (parser.read() as Found | null) ?? undefined
}

function toRow(names: readonly string[], cells: readonly string[], path: string, line: number): Record<string, string> {
  if (cells.length !== names.length) {
    throw malformed(path, line, 'the row has another number of cells than there are columns', {
      found: `${cells.length} cell${cells.length === 1 ? '' : 's'}`,
      expected: `${names.length}`,
      fix: 'Correct the row; a cell that holds a separator or a line end needs quotes in CSV and cannot be in TSV.',
    })
  }
  return Object.fromEntries(names.map((name, i) => [name, cells[i] ?? '']))
}

function namedTwice(path: string, line: number): OneroundError {
  return malformed(path, line, 'the first line names the columns itself', {
    found: 'a row of the very names that were given',
    expected: 'data in the first line where the columns are named by hand',
    fix: 'Leave columns (--columns) out.',
  })
}

function checkHeader(names: readonly string[], path: string, line: number): readonly string[] {
  const wrong = problemOf(names)
  if (wrong === undefined) return names
  throw malformed(path, line, 'the first line does not name the columns', {
    found: wrong,
    expected: `1 to ${MAX_COLUMNS} names, none empty, none twice`,
    fix: 'Add a line with the names of the columns, or name them with columns (--columns a,b).',
  })
}

function checkGiven(names: readonly string[]): void {
  const wrong = problemOf(names)
  if (wrong === undefined) return
  throw new OneroundError('ARGUMENT', 'The names of the columns cannot be used.', {
    found: wrong,
    expected: `1 to ${MAX_COLUMNS} names, none empty, none twice`,
    fix: 'Name every column once, in the order of the file.',
  })
}

/** Says what is wrong without the names: where a file has no header, its first row is data. */
function problemOf(names: readonly string[]): string | undefined {
  if (names.length === 0 || names.length > MAX_COLUMNS) return `${names.length} names`
  const empty = names.findIndex((name) => name.trim() === '')
  if (empty >= 0) return `no name in column ${empty + 1}`
  const twice = names.findIndex((name, i) => names.indexOf(name) < i)
  return twice < 0
    ? undefined
    : `the name of column ${names.indexOf(names[twice] ?? '') + 1} again in column ${twice + 1}`
}

/** The library's messages may quote a cell, so only its codes are read. */
function notTable(error: Error, path: string): OneroundError {
  const code = 'code' in error ? String(error.code) : ''
  const found =
    code === 'CSV_MAX_RECORD_SIZE'
      ? `a row of more than ${MAX_LINE_BYTES} bytes`
      : code === 'CSV_QUOTE_NOT_CLOSED'
        ? 'a quote that is not closed'
        : code === 'INVALID_OPENING_QUOTE' || code === 'CSV_INVALID_CLOSING_QUOTE'
          ? 'a quote inside a cell that is not quoted, or text after a closing quote'
          : 'quotes that do not fit'
  const line = 'lines' in error && typeof error.lines === 'number' ? error.lines : 1
  return malformed(path, line, 'the row cannot be read', {
    found,
    expected: 'cells as RFC 4180 has them: quotes around a cell, doubled inside it',
    fix: 'Export the table again as CSV, or as JSON Lines.',
  })
}
