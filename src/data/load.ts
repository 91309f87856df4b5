/** Files or objects to a dataset. */
import { OneroundError } from '../errors.js'
import type { Tokenizer } from '../text/tokenizer.js'
import { type DataFile, type DataOptions, type Dataset, type Example, makeDataset } from './dataset.js'
import { malformed, readLines, readText } from './lines.js'
import { Slices } from './slices.js'
import { listFiles } from './sources.js'
import { parseTemplate, type Template } from './templates.js'
import { tokenizeDocument, tokenizeRow } from './tokenize.js'

export type LoadOptions = Pick<DataOptions, 'template' | 'cutoff' | 'lossOn'> & {
  tokenizer: Tokenizer
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
      const sha256 = kind === 'jsonl' ? await loadRows(path, loading) : await loadDocument(path, loading)
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

async function loadRows(path: string, loading: Loading): Promise<string> {
  let id = 0
  return readLines(path, loading.slices, async (line, number) => {
    if (line.trim() === '') return
    let row: unknown
    try {
      row = JSON.parse(line)
    } catch {
      // JSON.parse quotes the row in its message, and a row may be private: its error is not passed on
      throw malformed(path, number, 'the line is not JSON', {
        found: `${line.length} characters that do not parse`,
        expected: 'one whole JSON object',
        fix: 'Correct or remove the line; a truncated download ends like this.',
      })
    }
    await addRow(row, id++, path, number, loading)
  })
}

async function loadDocument(path: string, loading: Loading): Promise<string> {
  const { options, slices } = loading
  if (options.template !== 'text') {
    throw new OneroundError('ARGUMENT', `${path} is plain text and has no fields for the template.`, {
      found: `template ${JSON.stringify(options.template)}`,
      expected: 'template text',
      fix: 'Use the template text, or write the data as JSON Lines.',
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

async function addRow(row: unknown, id: number, path: string, line: number, loading: Loading): Promise<void> {
  const { options, template, slices } = loading
  if (typeof row !== 'object' || row === null || Array.isArray(row)) {
    throw malformed(path, line, 'the row is not an object', {
      found: row === null ? 'null' : Array.isArray(row) ? 'a list' : `a ${typeof row}`,
      expected: `an object with ${fieldList(template.fields)}`,
      fix: 'Write each row as one JSON object.',
    })
  }
  const record = row as Record<string, unknown>
  const values = template.fields.map((field) => fieldText(record, field, path, line, template))
  const example = await tokenizeRow(template.render(values), id, options, options.tokenizer, slices)
  if (example === undefined) {
    loading.leftOut++
    return
  }
  if (path !== 'rows') example.source = path
  const fields = shortFields(record, template)
  if (fields) example.fields = fields
  loading.examples.push(example)
}

function fieldText(
  row: Record<string, unknown>,
  field: string,
  path: string,
  line: number,
  template: Template,
): string {
  const value = Object.hasOwn(row, field) ? row[field] : undefined
  if (typeof value === 'string') return value
  if (typeof value === 'number' && Number.isFinite(value)) return String(value)
  const missing = value === undefined
  throw malformed(path, line, `the field ${JSON.stringify(field)} is ${missing ? 'missing' : 'not text'}`, {
    found: missing
      ? `the fields ${Object.keys(row).slice(0, 16).join(', ') || '(none)'}`
      : value === null
        ? 'null'
        : Array.isArray(value)
          ? 'a list'
          : `${typeof value}`,
    expected: `text in ${fieldList(template.fields)}`,
    fix: 'Correct the row, or choose a template whose fields every row has.',
  })
}

function shortFields(row: Record<string, unknown>, template: Template): Record<string, string> | undefined {
  const kept: [string, string][] = []
  for (const [name, value] of Object.entries(row)) {
    const scalar = typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
    if (!scalar || template.fields.includes(name)) continue
    const text = String(value)
    if (text.length <= MAX_FIELD_LENGTH) kept.push([name, text])
  }
  return kept.length === 0 ? undefined : Object.fromEntries(kept)
}

function fieldList(fields: readonly string[]): string {
  return fields.length === 1 ? `the field ${fields[0]}` : `the fields ${fields.join(', ')}`
}
