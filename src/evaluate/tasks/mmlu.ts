/**
 * MMLU: one CSV file a subject, `NAME_test.csv`, with the columns question, choice0 to choice3 and answer (0 to 3). The
 * prompt is that of the authors' evaluation (Hendrycks et al., "Measuring Massive Multitask Language Understanding", 2021):
 * the subject, solved examples from `../dev/NAME_dev.csv`, then the question; the choices are the letters.
 */
import { basename, join } from 'node:path'
import { Slices } from '../../data/slices.js'
import { readTable } from '../../data/table.js'
import type { ChoiceQuestion } from '../choice.js'
import { type ReadOptions, refusalAt } from './json-rows.js'
import { firstShots, shotsFile } from './shots.js'

const letters = ['A', 'B', 'C', 'D']

/** What the authors report. */
const mmluShots = 5

interface Row {
  /** ends in `Answer:` */
  question: string
  answer: number
}

export async function readMmlu(files: readonly string[], o: ReadOptions = {}): Promise<ChoiceQuestion[]> {
  const questions: ChoiceQuestion[] = []
  const shots = o.shots ?? mmluShots
  for (const path of files) {
    const left = o.limit === undefined ? Number.POSITIVE_INFINITY : o.limit - questions.length
    if (left === 0) break
    const subject = basename(path)
      .replace(/\.csv$/i, '')
      .replace(/_(test|dev|val)$/, '')
    const head = `The following are multiple choice questions (with answers) about ${subject.replaceAll('_', ' ')}.\n\n`
    const before = shots === 0 ? head : head + (await solved(path, subject, shots, o.signal))
    for (const { question, answer } of await read(path, left, o.signal)) {
      questions.push({ prompt: before + question, choices: letters, answer })
    }
  }
  return questions
}

async function solved(path: string, subject: string, count: number, signal: AbortSignal | undefined): Promise<string> {
  const file = await shotsFile(path, join('..', 'dev', `${subject}_dev.csv`))
  const rows = await read(file, count, signal)
  const texts = rows.map(({ question, answer }) => `${question} ${letters[answer]}\n\n`)
  return firstShots(texts, count, file).join('')
}

async function read(path: string, limit: number, signal: AbortSignal | undefined): Promise<Row[]> {
  const rows: Row[] = []
  await readTable(path, 'csv', undefined, new Slices(signal), async (row, line) => {
    if (rows.length >= limit) return
    const refuse = refusalAt(path, line)
    const { question, answer } = row
    const choices = letters.map((_, i) => row[`choice${i}`])
    const missing = ['question', 'choice0', 'choice1', 'choice2', 'choice3', 'answer'].find(
      (name) => row[name] === undefined,
    )
    if (missing !== undefined)
      throw refuse(`there is no column "${missing}"`, Object.keys(row).join(', ').slice(0, 200), missing)
    if (question === '') throw refuse('the question is empty', 'an empty cell', 'a text')
    if (!/^[0-3]$/.test(answer ?? '')) throw refuse('the answer is no choice', 'another text', '0 to 3')
    const lines = choices.map((choice, i) => `${letters[i]}. ${choice}`)
    rows.push({ question: `${question}\n${lines.join('\n')}\nAnswer:`, answer: Number(answer) })
  })
  return rows
}
