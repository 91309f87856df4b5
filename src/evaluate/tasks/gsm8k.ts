/**
 * GSM8K: rows of `question` and `answer`, whose last line is `#### n`. Judged on the n of a text that is generated.
 * Solved examples are the first rows of train.jsonl beside the file.
 */
import type { ExactOptions, ExactQuestion } from '../exact.js'
import { type ReadOptions, readJsonRows } from './json-rows.js'
import { firstShots, shotsFile } from './shots.js'

/** How long an answer may be, where it ends, and how its number is found. */
export const gsm8kAnswers = {
  maxTokens: 256,
  stop: ['Question:', '\n\n'],
  extract: finalNumber,
} satisfies Pick<ExactOptions, 'maxTokens' | 'stop' | 'extract'>

interface Row {
  prompt: string
  solution: string
  answer: string
}

export async function readGsm8k(files: readonly string[], o: ReadOptions = {}): Promise<ExactQuestion[]> {
  const questions: ExactQuestion[] = []
  for (const path of files) {
    const left = o.limit === undefined ? undefined : o.limit - questions.length
    if (left === 0) break
    const before = o.shots ? await solved(await shotsFile(path, 'train.jsonl'), o.shots, o.signal) : ''
    for (const row of await read(path, left, o.signal)) questions.push({ ...row, prompt: before + row.prompt })
  }
  return questions
}

async function solved(path: string, count: number, signal: AbortSignal | undefined): Promise<string> {
  const rows = await read(path, count, signal)
  const texts = rows.map(({ prompt, solution }) => `${prompt} ${solution}\n\n`)
  return firstShots(texts, count, path).join('')
}

function read(path: string, limit: number | undefined, signal: AbortSignal | undefined): Promise<Row[]> {
  return readJsonRows([path], { limit, signal }, (row) => {
    const solution = row.text('answer')
    const answer = finalNumber(solution)
    if (answer === undefined)
      throw row.refuse('the field "answer" has no final number', 'a text', 'a text with a line "#### n"')
    return { prompt: `Question: ${row.text('question')}\nAnswer:`, solution, answer }
  })
}

/**
 * The number after the first `####`, without the dollar sign, the commas of thousands and the full stop of a sentence.
 * @returns undefined where there is none
 */
export function finalNumber(text: string): string | undefined {
  const digits = /####\s*\$?\s*(-?\$?[0-9.,]*[0-9])/.exec(text)?.[1]?.replace(/[$,]/g, '')
  if (digits === undefined || !Number.isFinite(Number(digits))) return undefined
  // "18.00" and "18" are one answer; a number too long for a double stays as it was written
  return Number.isSafeInteger(Math.trunc(Number(digits))) ? String(Number(digits)) : digits
}
