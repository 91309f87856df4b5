/** `generate` and the tasks of `evaluate` through the command line, on a random base. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runCommandLine } from '../../src/cli/program.js'
import { buildCli, temporary } from './built.js'
import { testTerminal } from './terminal.js'
import { writeTinyBase } from './tiny-base.js'

let folder = ''
let base = ''
beforeAll(() => {
  folder = temporary()
  base = join(folder, 'base')
  writeTinyBase(base)
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

async function run(...words: string[]) {
  const terminal = testTerminal()
  const code = await runCommandLine([...words, '--threads', '1'], terminal)
  return { code, output: terminal.output(), errors: terminal.errors() }
}

const drawn = ['--max-tokens', '24', '--temperature', '1', '--seed', '4']

describe('oneround generate', () => {
  it('says the text on standard output in pieces, and the same text as one value with --json', async () => {
    const pieces: string[] = []
    const terminal = testTerminal()
    const out = terminal.out
    terminal.out = (text) => {
      pieces.push(text)
      out(text)
    }
    const words = ['generate', '--base', base, '--prompt', 'snow', ...drawn]
    expect(await runCommandLine([...words, '--threads', '1'], terminal)).toBe(0)
    expect(pieces.length).toBeGreaterThan(3)
    expect(pieces.at(-1)).toBe('\n')
    const json = await run(...words, '--json')
    expect(json.code).toBe(0)
    const value = JSON.parse(json.output) as { text: string; reason: string; promptTokens: number; tokens: number }
    expect(value).toMatchObject({ promptTokens: 4, reason: expect.stringMatching(/^(end|length)$/) })
    // control characters, which random bytes hold, do not reach a terminal
    expect(terminal.output()).toBe(`${value.text.replace(/(?![\n\t])\p{Cc}/gu, '\ufffd')}\n`)
    const other = await run('generate', '--base', base, '--prompt', 'snow', ...drawn.slice(0, -1), '5', '--json')
    expect((JSON.parse(other.output) as { text: string }).text).not.toBe(value.text)
  })

  it('reads the prompt from standard input', () => {
    const main = buildCli(folder)
    const words = [main, 'generate', '--base', base, '--max-tokens', '4', '--json', '--prompt']
    const piped = spawnSync(process.execPath, [...words, '-'], { input: 'snow é\n', encoding: 'utf8' })
    expect(piped.stderr).toBe('')
    const given = spawnSync(process.execPath, [...words, 'snow é'], { encoding: 'utf8' })
    const text = (json: string) => JSON.parse(json) as { text: string; promptTokens: number }
    expect(text(piped.stdout)).toMatchObject({ text: text(given.stdout).text, promptTokens: 7 })
    const bad = spawnSync(process.execPath, [...words, '-'], { input: Buffer.from([0xff, 0xfe]), encoding: 'utf8' })
    expect(bad.status).toBe(2)
    expect(bad.stderr).toContain('UTF-8')
  })

  it.each([
    ['a chat without a template', ['--chat'], /chat template/, 1],
    ['an impossible share', ['--top-p', '2'], /topP/, 2],
    ['no tokens', ['--max-tokens', '0'], /whole number from 1/, 2],
    ['a prompt without room', ['--prompt', 'x'.repeat(200)], /200 tokens/, 2],
  ])('refuses %s', async (_, words, says, code) => {
    const ended = await run('generate', '--base', base, '--prompt', 'snow', ...words)
    expect(ended.errors).toMatch(says)
    expect(ended).toMatchObject({ code, output: '' })
  })
})

describe('oneround evaluate --task', () => {
  const write = (name: string, text: string) => {
    mkdirSync(join(folder, 'data'), { recursive: true })
    writeFileSync(join(folder, 'data', name), text)
    return join(folder, 'data', name)
  }
  const row = JSON.stringify({ query: 'Question: why?', choices: ['so', 'thus'], gold: 1 })
  const judge = (...words: string[]) => run('evaluate', '--base', base, ...words)

  it('arc tells accuracies with their standard errors', async () => {
    const data = write('arc.jsonl', `${row}\n`.repeat(3))
    const { code, output } = await judge('--task', 'arc', '--data', data)
    expect(code).toBe(0)
    expect(output).toMatch(/^accuracy +\d+\.\d % ± \d+\.\d %$/m)
    expect(output).toContain('3 questions')
    const json = JSON.parse((await judge('--task', 'arc', '--data', data, '--limit', '2', '--json')).output)
    expect(json).toMatchObject({ task: 'arc', questions: 2, standardError: { accuracy: 0 } })
  })

  it('exact and gsm8k count right answers', async () => {
    const exact = write('exact.jsonl', `${JSON.stringify({ prompt: 'two', answer: 'certainly not this' })}\n`)
    const json = JSON.parse((await judge('--task', 'exact', '--data', exact, '--max-tokens', '4', '--json')).output)
    expect(json).toMatchObject({ accuracy: 0, questions: 1 })
    const gsm = write('gsm.jsonl', `${JSON.stringify({ question: 'How many?', answer: '#### 4' })}\n`)
    const { code, output } = await judge('--task', 'gsm8k', '--data', gsm, '--max-tokens', '4')
    expect(code).toBe(0)
    expect(output).toMatch(/accuracy +0\.0 %/)
  })

  it('perplexity slides over a text', async () => {
    const data = write('text.txt', 'the lake is still and the snow falls. '.repeat(8))
    const words = ['--task', 'perplexity', '--data', data, '--window', '64', '--stride', '32', '--json']
    const json = JSON.parse((await judge(...words)).output)
    expect(json).toMatchObject({ tokens: 38 * 8 - 1, standardError: { loss: expect.any(Number) } })
  })

  it('refuses a bad row with its line, and a flag that the task does not read', async () => {
    const bad = await judge('--task', 'arc', '--data', write('bad.jsonl', `${row}\nnonsense\n`))
    expect(bad).toMatchObject({ code: 1, output: '', errors: expect.stringMatching(/bad\.jsonl, line 2:/) })
    const slip = await judge('--task', 'arc', '--data', 'd', '--window', '64')
    expect(slip).toMatchObject({ code: 2, errors: expect.stringContaining('--window') })
    const missing = await judge(
      '--task',
      'mmlu',
      '--data',
      write('x_test.csv', 'question,choice0,choice1,choice2,choice3,answer\n'),
    )
    expect(missing).toMatchObject({ code: 1, errors: expect.stringContaining('--shots 0') })
  })
})
