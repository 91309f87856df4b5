/** JSON Lines of questions; a row that is none is refused with its file and line. */
import { malformed, readLines } from '../../data/lines.js'
import { Slices } from '../../data/slices.js'
import type { OneroundError } from '../../errors.js'

export interface ReadOptions {
  /** only the first so many questions; the rows after them are not looked at */
  limit?: number | undefined
  /** solved examples before each question */
  shots?: number | undefined
  signal?: AbortSignal | undefined
}

/** Makes the refusal of the row at hand. It names fields and kinds and never quotes a value. */
type Refuse = (what: string, found: string, expected: string) => OneroundError

interface JsonRow {
  readonly fields: Readonly<Record<string, unknown>>
  readonly refuse: Refuse
  /** a field that is a text with something in it */
  text(name: string): string
}

export async function readJsonRows<T>(
  files: readonly string[],
  o: ReadOptions,
  question: (row: JsonRow) => T,
): Promise<T[]> {
  const limit = o.limit ?? Number.POSITIVE_INFINITY
  const questions: T[] = []
  const slices = new Slices(o.signal)
  for (const path of files) {
    await readLines(path, slices, async (line, number) => {
      if (questions.length < limit && line.trim() !== '') questions.push(question(parseRow(path, number, line)))
    })
  }
  return questions
}

function parseRow(path: string, number: number, line: string): JsonRow {
  const refuse = refusalAt(path, number)
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    throw refuse('the row is not JSON', 'a line that cannot be parsed', 'one JSON object a line')
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw refuse('the row is no object', kind(value), 'one JSON object a line')
  }
  const fields = value as Record<string, unknown>
  const text = (name: string): string => {
    const found = fields[name]
    if (typeof found === 'string' && found.trim() !== '') return found
    throw refuse(`the field "${name}" is no text`, found === '' ? 'an empty text' : kind(found), 'a text')
  }
  return { fields, refuse, text }
}

export function refusalAt(path: string, line: number): Refuse {
  return (what, found, expected) =>
    malformed(path, line, what, { found, expected, fix: 'Correct the row, or name another task (--task).' })
}

/** The choices of a row: texts, none empty, and the place of the right one. */
export function choicesOf(row: JsonRow, answerField: string): { choices: string[]; answer: number } {
  const { choices, [answerField]: answer } = row.fields
  if (
    !Array.isArray(choices) ||
    choices.length < 2 ||
    choices.length > 100 ||
    !choices.every((choice) => typeof choice === 'string' && choice !== '')
  ) {
    const found = Array.isArray(choices) ? `a list of ${choices.length}` : kind(choices)
    throw row.refuse('the field "choices" is no list of choices', found, 'a list of 2 to 100 texts, none empty')
  }
  if (typeof answer !== 'number' || !Number.isInteger(answer) || answer < 0 || answer >= choices.length) {
    const found = typeof answer === 'number' ? String(answer) : kind(answer)
    throw row.refuse(`the field "${answerField}" is no choice`, found, `0 to ${choices.length - 1}`)
  }
  return { choices: choices as string[], answer }
}

function kind(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (value === null) return 'null'
  return Array.isArray(value) ? 'a list' : `a ${typeof value}`
}
