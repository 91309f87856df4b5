/** A user's own questions, one JSON object a line. */
import type { ChoiceQuestion } from '../choice.js'
import type { ExactQuestion } from '../exact.js'
import { choicesOf, type ReadOptions, readJsonRows } from './json-rows.js'

/** Rows of `prompt`, `choices` and `answer`, the place of the right choice from 0. */
export function readChoices(files: readonly string[], o: ReadOptions = {}): Promise<ChoiceQuestion[]> {
  return readJsonRows(files, o, (row) => ({ prompt: row.text('prompt'), ...choicesOf(row, 'answer') }))
}

/** Rows of `prompt` and `answer`, a text. */
export function readExact(files: readonly string[], o: ReadOptions = {}): Promise<ExactQuestion[]> {
  return readJsonRows(files, o, (row) => ({ prompt: row.text('prompt'), answer: row.text('answer').trim() }))
}
