/** Wrong input of every kind: a sentence with what was found, what was expected and what to do, and nothing half-written. */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runCommandLine } from '../../src/cli/program.js'
import { temporary } from './built.js'
import { refusalCases } from './refusal-cases.js'
import { smallSettings as small, writeSmallWorld } from './small-data.js'
import { testTerminal } from './terminal.js'

const folder = temporary()
const at = (...parts: string[]): string => join(folder, ...parts)

async function run(...words: string[]) {
  const terminal = testTerminal()
  const code = await runCommandLine(words, terminal)
  return { code, output: terminal.output(), errors: terminal.errors() }
}

async function plan(out: string, ...more: string[]): Promise<void> {
  const { code, errors } = await run(
    'plan',
    '--base',
    at('base'),
    '--clients',
    'north,south',
    ...small,
    ...more,
    '--out',
    at(out),
  )
  expect(code, errors).toBe(0)
}

beforeAll(async () => {
  writeSmallWorld(folder)
  await plan('plan.json')
  await plan('other.json', '--seed', '1')
  await plan('two.json', '--rounds', '2')
  const data = at('clients', 'north.jsonl')
  const trained = await run(
    'train',
    at('plan.json'),
    '--client',
    'north',
    '--data',
    data,
    '--base',
    at('base'),
    '--out',
    at('north.update.safetensors'),
  )
  expect(trained.code, trained.errors).toBe(0)
  const bytes = readFileSync(at('north.update.safetensors'))
  writeFileSync(at('cut.update.safetensors'), bytes.subarray(0, bytes.length - 8))
  const broken = Buffer.from(bytes)
  broken.fill(0xff, broken.length - 64)
  writeFileSync(at('nan.update.safetensors'), broken)
  writeFileSync(at('bad.jsonl'), '{"text": "one"}\n{"text": "two"\n')
  writeFileSync(at('list.json'), '[1]')
  writeFileSync(at('unknown.json'), '{"clients": ["a"], "learningrate": 1}')
  writeFileSync(at('half.json'), '{"rank": 8')
  mkdirSync(at('full'))
  writeFileSync(at('full', 'diary.txt'), 'mine')
}, 120_000)
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const cases = refusalCases(at)

describe('the command line refuses', () => {
  for (const { what, words, code, says, absent } of cases) {
    it(what, async () => {
      const result = await run(...words)
      expect(result.errors).toMatch(says)
      expect(result.code).toBe(code)
      expect(result.output).toBe('')
      const last = result.errors.trimEnd().split('\n').at(-1) ?? ''
      expect(last).toMatch(/^error: /)
      expect(result.errors).not.toContain('    at ')
      if (absent !== undefined) expect(existsSync(at(absent)), absent).toBe(false)
    })
  }

  it('a run that is there, unless it is resumed with the same settings', async () => {
    const simulate = (...more: string[]) => [
      'simulate',
      '--base',
      at('base'),
      '--data',
      at('clients'),
      ...small,
      ...more,
    ]
    const words = (...more: string[]) => simulate('--compare', 'base,1x1', '--out', at('first'), ...more)
    expect((await run(...words())).code).toBe(0)
    const before = readFileSync(at('first', 'state.json'), 'utf8')
    const again = await run(...words())
    expect(again).toMatchObject({ code: 1, errors: expect.stringContaining('--resume') })
    const other = await run(...words('--resume', '--seed', '5'))
    expect(other).toMatchObject({ code: 1, errors: expect.stringContaining('another plan') })
    const otherData = await run(
      'simulate',
      '--base',
      at('base'),
      '--data',
      at('clients', 'north.jsonl'),
      '--split',
      'iid',
      '--clients',
      'north,south',
      ...small,
      '--compare',
      'base,1x1',
      '--out',
      at('first'),
      '--resume',
    )
    expect(otherData).toMatchObject({ code: 1, errors: expect.stringContaining('other data') })
    expect(readFileSync(at('first', 'state.json'), 'utf8')).toBe(before)
    expect((await run(...words('--resume'))).code).toBe(0)
  })
})
