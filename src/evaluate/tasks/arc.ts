/** ARC (easy or challenge): rows of `query`, `choices` and `gold`, the place of the right choice. */
import type { ChoiceQuestion } from '../choice.js'
import { choicesOf, type ReadOptions, readJsonRows } from './json-rows.js'

export function readArc(files: readonly string[], o: ReadOptions = {}): Promise<ChoiceQuestion[]> {
  return readJsonRows(files, o, (row) => ({ prompt: `${row.text('query')}\nAnswer:`, ...choicesOf(row, 'gold') }))
}
