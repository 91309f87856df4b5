/**
 * SST-2: tab-separated lines of a sentence and 0 (negative) or 1 (positive), with or without the line of names that GLUE's
 * files begin with. The prompt is that of EleutherAI's lm-evaluation-harness. Solved examples are the first rows of
 * train.tsv beside the file.
 */
import { open } from 'node:fs/promises'
import { Slices } from '../../data/slices.js'
import { readTable } from '../../data/table.js'
import { fileError } from '../../text/bounded-file.js'
import type { ChoiceQuestion } from '../choice.js'
import { type ReadOptions, refusalAt } from './json-rows.js'
import { firstShots, shotsFile } from './shots.js'

const NAMES = ['sentence', 'label']
const labels = ['negative', 'positive']

export async function readSst2(files: readonly string[], o: ReadOptions = {}): Promise<ChoiceQuestion[]> {
  const questions: ChoiceQuestion[] = []
  for (const path of files) {
    const left = o.limit === undefined ? Number.POSITIVE_INFINITY : o.limit - questions.length
    if (left === 0) break
    const before = o.shots ? await solved(await shotsFile(path, 'train.tsv'), o.shots, o.signal) : ''
    for (const row of await read(path, left, o.signal)) questions.push({ ...row, prompt: before + row.prompt })
  }
  return questions
}

async function startsWithNames(path: string): Promise<boolean> {
  const names = Buffer.from(NAMES.join('\t'))
  let handle: Awaited<ReturnType<typeof open>> | undefined
  try {
    handle = await open(path, 'r')
    const start = Buffer.alloc(names.length)
    await handle.read(start, 0, start.length, 0)
    return start.equals(names)
  } catch (cause) {
    throw fileError(path, cause)
  } finally {
    await handle?.close()
  }
}

async function solved(path: string, count: number, signal: AbortSignal | undefined): Promise<string> {
  const rows = await read(path, count, signal)
  const texts = rows.map(({ prompt, answer }) => `${prompt} ${labels[answer]}\n\n`)
  return firstShots(texts, count, path).join('')
}

async function read(path: string, limit: number, signal: AbortSignal | undefined): Promise<ChoiceQuestion[]> {
  const rows: ChoiceQuestion[] = []
  const columns = (await startsWithNames(path)) ? undefined : NAMES
  await readTable(path, 'tsv', columns, new Slices(signal), async ({ sentence = '', label }, line) => {
    if (rows.length >= limit) return
    const refuse = refusalAt(path, line)
    if (sentence.trim() === '') throw refuse('the sentence is empty', 'an empty cell', 'a text')
    if (label !== '0' && label !== '1') throw refuse('the label is none', 'another text', '0 or 1')
    const prompt = `${sentence.trim()}\nQuestion: Is this sentence positive or negative?\nAnswer:`
    rows.push({ prompt, choices: labels, answer: Number(label) })
  })
  return rows
}
