/** Wrong input of every kind: a sentence with what was found, what was expected and what to do, and nothing half-written. */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runCommandLine } from '../../src/cli/program.js'
import { temporary } from './built.js'
import { writeSmallWorld } from './small-data.js'
import { testTerminal } from './terminal.js'

const folder = temporary()
const at = (...parts: string[]): string => join(folder, ...parts)

async function run(...words: string[]) {
  const terminal = testTerminal()
  const code = await runCommandLine(words, terminal)
  return { code, output: terminal.output(), errors: terminal.errors() }
}

const small = ['--rank', '2', '--targets', 'q_proj', '--cutoff', '64', '--epochs', '1', '--batch', '4']

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

interface Case {
  what: string
  words: () => string[]
  code: 1 | 2
  says: RegExp
  /** what must not have appeared */
  absent?: string
}

const train = (...more: string[]) => [
  'train',
  at('plan.json'),
  '--client',
  'north',
  '--data',
  at('clients', 'north.jsonl'),
  '--out',
  at('x.update.safetensors'),
  ...more,
]
const simulate = (...more: string[]) => ['simulate', '--base', at('base'), '--data', at('clients'), ...small, ...more]
const cases: Case[] = [
  {
    what: 'a broken row, by file and line',
    words: () => ['evaluate', '--base', at('base'), '--data', at('bad.jsonl')],
    code: 1,
    says: /bad\.jsonl.*\b2\b.*expected/,
  },
  {
    what: 'a client that the plan does not know',
    words: () => [
      'train',
      at('plan.json'),
      '--client',
      'west',
      '--data',
      at('clients', 'north.jsonl'),
      '--base',
      at('base'),
      '--out',
      at('x.update.safetensors'),
    ],
    code: 1,
    says: /found west, expected north, south/,
    absent: 'x.update.safetensors',
  },
  {
    what: 'training without a base',
    words: () => train(),
    code: 2,
    says: /--base PATH/,
    absent: 'x.update.safetensors',
  },
  {
    what: 'a round that the plan does not have',
    words: () => train('--base', at('base'), '--round', '2'),
    code: 2,
    says: /found 2, expected 1 to 1/,
  },
  {
    what: 'a second round without its start',
    words: () => [
      'train',
      at('two.json'),
      '--client',
      'north',
      '--data',
      at('clients', 'north.jsonl'),
      '--base',
      at('base'),
      '--round',
      '2',
      '--out',
      at('x.update.safetensors'),
    ],
    code: 2,
    says: /--start/,
    absent: 'x.update.safetensors',
  },
  {
    what: 'more threads than there can be',
    words: () => train('--base', at('base'), '--threads', '5000'),
    code: 2,
    says: /found 5000, expected .*1024/,
  },
  {
    what: 'an update of another plan, by client and rule',
    words: () => ['inspect', at('north.update.safetensors'), '--plan', at('other.json')],
    code: 1,
    says: /client 'north'.*rule 'plan'/,
  },
  {
    what: 'the same in a sum, which is then not made',
    words: () => ['aggregate', at('other.json'), at('north.update.safetensors'), '--out', at('sum')],
    code: 1,
    says: /client 'north'.*rule 'plan'/,
    absent: 'sum',
  },
  {
    what: 'an update twice',
    words: () => [
      'aggregate',
      at('plan.json'),
      at('north.update.safetensors'),
      at('north.update.safetensors'),
      '--out',
      at('sum'),
    ],
    code: 1,
    says: /north/,
    absent: 'sum',
  },
  {
    what: 'an update that was cut short',
    words: () => ['aggregate', at('plan.json'), at('cut.update.safetensors'), '--out', at('sum')],
    code: 1,
    says: /cut\.update\.safetensors/,
    absent: 'sum',
  },
  {
    what: 'an update with NaN',
    words: () => ['aggregate', at('plan.json'), at('nan.update.safetensors'), '--out', at('sum')],
    code: 1,
    says: /rule 'finite'/,
    absent: 'sum',
  },
  {
    what: 'a method chosen before the last round',
    words: () => ['aggregate', at('two.json'), at('north.update.safetensors'), '--method', 'stack', '--out', at('sum')],
    code: 2,
    says: /only for the last round: found --method in round 1 of 2/,
    absent: 'sum',
  },
  {
    what: 'a state file, which is not built',
    words: () => ['aggregate', at('plan.json'), at('north.update.safetensors'), '--state', 's', '--out', at('sum')],
    code: 1,
    says: /not built yet/,
    absent: 'sum',
  },
  {
    what: 'a plan where an update is judged',
    words: () => ['inspect', at('plan.json'), '--plan', at('plan.json')],
    code: 2,
    says: /judges updates only/,
  },
  {
    what: 'an optimizer that is not built, by name',
    words: () => ['plan', '--base', at('base'), '--clients', 'a', '--optimizer', 'sgd', '--out', at('x.json')],
    code: 1,
    says: /not built yet: 'sgd'/,
    absent: 'x.json',
  },
  {
    what: 'a config that is not an object',
    words: () => ['plan', '--base', at('base'), '--clients', 'a', '--config', at('list.json'), '--out', at('x.json')],
    code: 1,
    says: /found a list/,
    absent: 'x.json',
  },
  {
    what: 'a config that is not JSON',
    words: () => ['plan', '--base', at('base'), '--clients', 'a', '--config', at('half.json'), '--out', at('x.json')],
    code: 1,
    says: /half\.json/,
    absent: 'x.json',
  },
  {
    what: 'a config with an unknown option',
    words: () => ['plan', '--base', at('base'), '--config', at('unknown.json'), '--out', at('x.json')],
    code: 2,
    says: /learningrate/,
    absent: 'x.json',
  },
  {
    what: 'an arm that there is not',
    words: () => simulate('--compare', 'base,best', '--out', at('run')),
    code: 2,
    says: /'best'.*1x3/,
    absent: 'run',
  },
  {
    what: 'a split that is not built',
    words: () => simulate('--split', 'sorted:label', '--out', at('run')),
    code: 1,
    says: /sorted:label/,
    absent: 'run',
  },
  {
    what: 'one file and no split',
    words: () => ['simulate', '--base', at('base'), '--data', at('clients', 'north.jsonl'), '--out', at('run')],
    code: 2,
    says: /--split iid/,
    absent: 'run',
  },
  {
    what: 'clients that the data does not hold',
    words: () => simulate('--clients', 'north,west', '--out', at('run')),
    code: 1,
    says: /found north, south, expected north, west/,
    absent: 'run',
  },
  {
    what: "a folder with somebody's files in it",
    words: () => simulate('--compare', '1x1', '--out', at('full')),
    code: 1,
    says: /not a run folder.*diary\.txt/,
    absent: 'full/plan.json',
  },
  {
    what: 'a report of what is no run',
    words: () => ['report', at('full')],
    code: 1,
    says: /not a run folder/,
    absent: 'full/report.html',
  },
]

describe('the command line refuses', () => {
  for (const { what, words, code, says, absent } of cases) {
    it(what, async () => {
      const result = await run(...words())
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
