/** A user's data files become questions, or are refused with their file and line. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readArc } from '../../../src/evaluate/tasks/arc.js'
import { finalNumber, readGsm8k } from '../../../src/evaluate/tasks/gsm8k.js'
import type { ReadOptions } from '../../../src/evaluate/tasks/json-rows.js'
import { readMmlu } from '../../../src/evaluate/tasks/mmlu.js'
import { readChoices, readExact } from '../../../src/evaluate/tasks/own.js'
import { readSst2 } from '../../../src/evaluate/tasks/sst2.js'

let folder = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'oneround-tasks-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function write(name: string, text: string): string {
  const path = join(folder, name)
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text)
  return path
}

const lines = (...rows: object[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join('')
const arcRow = { query: 'Question: why?', choices: ['so', 'thus'], gold: 1 }
const sumRow = { question: 'How many?', answer: 'Two and two.\n#### 4' }
const header = 'question,choice0,choice1,choice2,choice3,answer\n'

describe('ready tasks', () => {
  it('read ARC', async () => {
    const path = write('arc.jsonl', `${lines(arcRow)}\n${lines({ ...arcRow, gold: 0 })}`)
    const one = { prompt: 'Question: why?\nAnswer:', choices: ['so', 'thus'], answer: 1 }
    expect(await readArc([path])).toEqual([one, { ...one, answer: 0 }])
    expect(await readArc([path, path], { limit: 3 })).toHaveLength(3)
  })

  it("read a user's own questions", async () => {
    const own = write('own.jsonl', lines({ prompt: 'p', choices: ['x', 'y'], answer: 0 }))
    expect(await readChoices([own])).toEqual([{ prompt: 'p', choices: ['x', 'y'], answer: 0 }])
    expect(await readExact([write('exact.jsonl', lines({ prompt: 'p', answer: ' 7 ' }))])).toEqual([
      { prompt: 'p', answer: '7' },
    ])
  })

  it('read MMLU with its solved examples, quoted cells and lines in them', async () => {
    const test = write('mmlu/test/high_school_physics_test.csv', `${header}"What, ""now""?\nSay.",a,b,c,"d, e",3\n`)
    const dev = Array.from({ length: 6 }, (_, i) => `Q${i},w,x,y,z,${i % 4}\n`).join('')
    write('mmlu/dev/high_school_physics_dev.csv', header + dev)
    const [one] = await readMmlu([test], { shots: 2 })
    expect(one).toEqual({
      prompt:
        'The following are multiple choice questions (with answers) about high school physics.\n\n' +
        'Q0\nA. w\nB. x\nC. y\nD. z\nAnswer: A\n\nQ1\nA. w\nB. x\nC. y\nD. z\nAnswer: B\n\n' +
        'What, "now"?\nSay.\nA. a\nB. b\nC. c\nD. d, e\nAnswer:',
      choices: ['A', 'B', 'C', 'D'],
      answer: 3,
    })
    expect((await readMmlu([test]))[0]?.prompt.match(/Answer: /g)).toHaveLength(5)
    expect((await readMmlu([test], { shots: 0 }))[0]?.prompt).not.toContain('Q0')
    await expect(readMmlu([test], { shots: 7 })).rejects.toMatchObject({ code: 'MALFORMED', found: '6' })
    const alone = write('mmlu/test/alone_test.csv', `${header}q,a,b,c,d,0\n`)
    await expect(readMmlu([alone])).rejects.toMatchObject({
      code: 'NOT_FOUND',
      fix: expect.stringContaining('--shots 0'),
    })
  })

  it('read GSM8K, with and without solved examples', async () => {
    const path = write('gsm/test.jsonl', lines(sumRow))
    write('gsm/train.jsonl', lines({ question: 'A?', answer: 'Yes.\n#### 1,000' }))
    const one = { prompt: 'Question: How many?\nAnswer:', solution: sumRow.answer, answer: '4' }
    expect(await readGsm8k([path])).toEqual([one])
    const [shot] = await readGsm8k([path], { shots: 1 })
    expect(shot?.prompt).toBe(`Question: A?\nAnswer: Yes.\n#### 1,000\n\n${one.prompt}`)
  })

  it('read SST-2, with or without the line of names; a quote in it is text', async () => {
    const rows = 'a "fine film \t1\ndull\t0\n'
    const questions = await readSst2([write('sst.tsv', rows)])
    expect(questions.map(({ answer }) => answer)).toEqual([1, 0])
    expect(questions[0]?.prompt).toBe('a "fine film\nQuestion: Is this sentence positive or negative?\nAnswer:')
    expect(questions[0]?.choices).toEqual(['negative', 'positive'])
    expect(await readSst2([write('glue.tsv', `sentence\tlabel\n${rows}`)])).toEqual(questions)
  })

  it.each([
    ['... so\n#### 18', '18'],
    ['#### $1,234.50', '1234.5'],
    ['####-3', '-3'],
    ['#### 18.', '18'],
    ['#### 18.00', '18'],
    ['#### 5\n#### 6', '5'],
    ['#### 12345678901234567890', '12345678901234567890'],
    ['18', undefined],
    ['#### none', undefined],
    ['#### 1.2.3', undefined],
  ])('find the final number of %j', (text, number) => {
    expect(finalNumber(text)).toBe(number)
  })
})

type Reader = (files: string[], o?: ReadOptions) => Promise<unknown>
const bad: [string, Reader, string, string, number][] = [
  ['a line that is not JSON', readArc, 'a.jsonl', `${lines(arcRow)}{"query":\n`, 2],
  ['a list', readArc, 'a.jsonl', '[1]\n', 1],
  ['no query', readArc, 'a.jsonl', lines(arcRow, { ...arcRow, query: undefined }), 2],
  ['a query of blanks', readArc, 'a.jsonl', lines({ ...arcRow, query: ' ' }), 1],
  ['one choice', readArc, 'a.jsonl', lines({ ...arcRow, choices: ['x'] }), 1],
  ['a choice that is no text', readArc, 'a.jsonl', lines({ ...arcRow, choices: ['x', 3] }), 1],
  ['too many choices', readArc, 'a.jsonl', lines({ ...arcRow, choices: new Array(101).fill('x') }), 1],
  ['an answer past the choices', readArc, 'a.jsonl', lines({ ...arcRow, gold: 2 }), 1],
  ['an answer between two choices', readArc, 'a.jsonl', lines({ ...arcRow, gold: 0.5 }), 1],
  ['an answer as text', readChoices, 'a.jsonl', lines({ prompt: 'p', choices: ['x', 'y'], answer: '0' }), 1],
  ['no answer', readExact, 'a.jsonl', lines({ prompt: 'p' }), 1],
  ['no final number', readGsm8k, 'a.jsonl', lines(sumRow, { ...sumRow, answer: 'four' }), 2],
  ['too few cells', readMmlu, 'm_test.csv', `${header}q,a,b,c,d,0\nq,a,b,c,0\n`, 3],
  ['another column', readMmlu, 'm_test.csv', `${header.replace('choice3', 'choice4')}q,a,b,c,d,0\n`, 2],
  ['a letter', readMmlu, 'm_test.csv', `${header}q,a,b,c,d,A\n`, 2],
  ['an empty question', readMmlu, 'm_test.csv', `${header},a,b,c,d,1\n`, 2],
  ['an open quote', readMmlu, 'm_test.csv', `${header}"q,a,b,c,d,1\n`, 2],
  ['another label', readSst2, 's.tsv', 'fine\t1\nfine\t2\n', 2],
  ['no label', readSst2, 's.tsv', 'fine\n', 1],
  ['an empty sentence', readSst2, 's.tsv', 'fine\t1\n \t1\n', 2],
]

describe('rows that are no questions', () => {
  it.each(bad)('%s', async (_, read, name, text, line) => {
    const path = write(`bad/${name}`, text)
    const failure = await read([path], { shots: 0 }).then(
      () => undefined,
      (error: Error) => error,
    )
    expect(failure).toMatchObject({ code: 'MALFORMED', message: expect.stringContaining(`${name}, line ${line}:`) })
  })

  it('are not looked at past the limit', async () => {
    expect(await readArc([write('late.jsonl', `${lines(arcRow)}nonsense\n`)], { limit: 1 })).toHaveLength(1)
  })
})
