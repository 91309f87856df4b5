/** Files or objects to a dataset. */
import { OneroundError } from '../errors.js'
import type { Tokenizer } from '../text/tokenizer.js'
import { noChatTemplate } from './chat.js'
import { type DataFile, type DataOptions, type Dataset, type Example, makeDataset } from './dataset.js'
import { readJson } from './json.js'
import { malformed, readLines, readText } from './lines.js'
import { readParquet } from './parquet/read.js'
import { Row } from './row.js'
import { Slices } from './slices.js'
import { type FileKind, listFiles } from './sources.js'
import { readTable } from './table.js'
import { parseTemplate, type Template } from './templates.js'
import { tokenizeDocument, tokenizeRow } from './tokenize.js'

export type LoadOptions = Pick<DataOptions, 'template' | 'cutoff' | 'lossOn'> & {
  tokenizer: Tokenizer
  /** names of the columns of a .csv or .tsv file whose first line is data already */
  columns?: readonly string[] | undefined
  /** fields to split by although the template uses them */
  keep?: readonly string[] | undefined
  signal?: AbortSignal | undefined
}

/** Longer values are text, not something to split by, and would be held in memory twice. */
const MAX_FIELD_LENGTH = 256

interface Loading {
  options: LoadOptions
  template: Template
  slices: Slices
  examples: Example[]
  leftOut: number
}

/**
 * Reads and tokenises data; the event loop is never blocked for more than about 10 ms.
 *
 * - A file ending in .jsonl or .ndjson holds one JSON object a line; blank lines are passed over.
 * - A file ending in .json holds a list of such objects, or the objects one after another.
 * - A file ending in .csv (RFC 4180) or .tsv (no quoting) has a line for its columns' names, unless `columns` names them.
 * - A file ending in .parquet holds a row a line; see parquet/read.ts for its types. It is decoded in a process of its own.
 * - A file ending in .txt is one document, cut into consecutive examples of `cutoff` tokens; it needs the template `text`.
 * - A folder stands for such files in it. Objects in memory are rows; their number takes the place of the line.
 *
 * No begin-of-text token is put before an example; the tokenizer's end-of-text token ends each row and document.
 * Rows without anything to train on (empty, or a prompt that fills the cutoff) are left out and counted in `leftOut`.
 * Nothing is held out here: see Dataset.heldOut().
 * @throws OneroundError MALFORMED with file and line for a row that cannot be used; ARGUMENT, NOT_FOUND, UNSUPPORTED, IO, ABORTED
 */
export async function loadExamples(
  source: string | readonly string[] | Iterable<object>,
  options: LoadOptions,
): Promise<Dataset> {
  const template = checkOptions(options)
  const loading: Loading = { options, template, slices: new Slices(options.signal), examples: [], leftOut: 0 }
  const files: DataFile[] = []
  const rows = typeof source === 'string' ? [source] : Array.isArray(source) ? source : checkIterable(source)
  if (Array.isArray(rows) && rows.length > 0 && rows.every((row) => typeof row === 'string')) {
    for (const { path, kind } of await listFiles(rows)) {
      const sha256 = kind === 'text' ? await loadDocument(path, loading) : await loadRows(path, kind, loading)
      files.push({ path, sha256 })
    }
  } else {
    let number = 0
    for (const row of rows) await addRow(row, number++, 'rows', number, loading)
  }
  if (loading.examples.length === 0) {
    throw new OneroundError('MALFORMED', 'The data holds nothing to train on.', {
      found: `${loading.leftOut} rows, all empty or with a prompt that fills the cutoff`,
      expected: 'at least one row with a token to predict',
      fix: 'Check the files and the template, or raise the cutoff.',
    })
  }
  return makeDataset(loading.examples, files, loading.leftOut)
}

function checkOptions(o: LoadOptions): Template {
  const template = parseTemplate(o.template)
  if (!Number.isInteger(o.cutoff) || o.cutoff < 2 || o.cutoff > 2 ** 24) {
    throw new OneroundError('ARGUMENT', 'The cutoff is not a usable number of tokens.', {
      found: String(o.cutoff),
      expected: 'a whole number, 2 to 16777216',
      fix: 'Set cutoff to, for example, 512.',
    })
  }
  if (o.lossOn !== 'all' && o.lossOn !== 'completion') {
    throw new OneroundError('ARGUMENT', 'lossOn is not known.', {
      found: String(o.lossOn),
      expected: 'all or completion',
      fix: 'Set lossOn to all, or to completion with a template that has a prompt.',
    })
  }
  if (o.lossOn === 'completion' && !template.hasPrompt) {
    throw new OneroundError('ARGUMENT', `The template ${o.template} has no completion to take the loss on.`, {
      found: 'lossOn completion',
      expected: 'lossOn all',
      fix: 'Set lossOn to all, or use the template prompt-completion or a pattern with fields.',
    })
  }
  if (template.needsChat && o.tokenizer.chat === undefined) throw noChatTemplate()
  return template
}

function checkIterable(source: unknown): Iterable<unknown> {
  if (typeof source === 'object' && source !== null && Symbol.iterator in source) return source as Iterable<unknown>
  throw new OneroundError('ARGUMENT', 'The source of examples is not known.', {
    found: source === null ? 'null' : typeof source,
    expected: 'a path, a list of paths, or an iterable of objects',
    fix: 'Give a file, a folder, or rows such as [{ text: "..." }].',
  })
}

/** The rows of a file, by its kind. @returns the file's SHA-256 */
async function loadRows(path: string, kind: Exclude<FileKind, 'text'>, loading: Loading): Promise<string> {
  let id = 0
  const add = (row: unknown, line: number): Promise<void> => addRow(row, id++, path, line, loading)
  const { slices, options } = loading
  if (kind === 'csv' || kind === 'tsv') return readTable(path, kind, options.columns, slices, add)
  if (kind === 'parquet') {
    const needed = [...loading.template.fields, ...(options.keep ?? [])]
    return readParquet(path, needed, slices, add, { signal: options.signal })
  }
  if (kind === 'json') return readJson(path, slices, (text, line) => add(parseRow(text, path, line), line))
  return readLines(path, slices, async (text, line) => {
    if (text.trim() !== '') await add(parseRow(text, path, line), line)
  })
}

function parseRow(text: string, path: string, line: number): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // JSON.parse quotes the row in its message, and a row may be private: its error is not passed on
    throw malformed(path, line, 'the line is not JSON', {
      found: `${text.length} characters that do not parse`,
      expected: 'one whole JSON object',
      fix: 'Correct or remove the line; a truncated download ends like this.',
    })
  }
}

async function loadDocument(path: string, loading: Loading): Promise<string> {
  const { options, slices } = loading
  if (options.template !== 'text') {
    throw new OneroundError('ARGUMENT', `${path} is plain text and has no fields for the template.`, {
      found: `template ${JSON.stringify(options.template)}`,
      expected: 'template text',
      fix: 'Use the template text, or write the data as JSON Lines or CSV.',
    })
  }
  const { text, sha256 } = await readText(path, slices)
  const examples = await tokenizeDocument(text, options.cutoff, options.tokenizer, slices)
  if (examples.length === 0) loading.leftOut++
  for (const example of examples) {
    example.source = path
    loading.examples.push(example)
  }
  return sha256
}

/** @param id place of the row in its source */
async function addRow(value: unknown, id: number, path: string, line: number, loading: Loading): Promise<void> {
  const { options, template, slices } = loading
  const { tokenizer, cutoff, lossOn } = options
  const row = new Row(value, path, line, template.wanted)
  const segments = template.render(row, { chat: tokenizer.chat, lossOn })
  const rules = { cutoff, lossOn, endOfText: template.endOfText }
  const example = await tokenizeRow(segments, id, rules, tokenizer, slices)
  if (example === undefined) {
    loading.leftOut++
    return
  }
  if (path !== 'rows') example.source = path
  const fields = shortFields(row, template, options.keep ?? [])
  if (fields) example.fields = fields
  loading.examples.push(example)
}

function shortFields(row: Row, template: Template, keep: readonly string[]): Record<string, string> | undefined {
  const kept: [string, string][] = []
  for (const [name, value] of row.entries()) {
    const scalar = typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
    if (!scalar || (template.fields.includes(name) && !keep.includes(name))) continue
    const text = String(value)
    if (text.length <= MAX_FIELD_LENGTH) kept.push([name, text])
  }
  return kept.length === 0 ? undefined : Object.fromEntries(kept)
}
