/** `value` through the command line: a run, its values, a stop and going on. */
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runCommandLine } from '../../src/cli/program.js'
import { valuationText } from '../../src/cli/valuation-text.js'
import type { Valuation } from '../../src/valuation/valuation.js'
import { temporary } from './built.js'
import { smallSettings, writeSmallWorld } from './small-data.js'
import { testTerminal } from './terminal.js'

const folder = temporary()
const at = (...parts: string[]) => join(folder, ...parts)
const run = at('run')
const own = ['value', run, '--base', at('base'), '--data', at('clients')]

async function call(words: string[], terminal = testTerminal()) {
  const code = await runCommandLine(words, terminal)
  return { code, output: terminal.output(), errors: terminal.errors() }
}

beforeAll(async () => {
  writeSmallWorld(folder)
  const words = ['simulate', '--base', at('base'), '--data', at('clients'), ...smallSettings, '--learning-rate', '1e-2']
  const { code, errors } = await call([...words, '--compare', '1x1', '--out', run])
  expect(code, errors).toBe(0)
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('oneround value', () => {
  it('stops with 130 and goes on with what it has', async () => {
    const terminal = testTerminal()
    let lines = 0
    const { write } = terminal.progress
    terminal.progress.write = (text) => {
      write(text)
      if (++lines === 1) terminal.stop.abort()
    }
    const stopped = await call(own, terminal)
    expect(stopped.code).toBe(130)
    expect(existsSync(join(run, 'valuation.json'))).toBe(false)
    expect((await call(own)).code).toBe(0)
    expect(readdirSync(join(run, 'values'))).toHaveLength(1)
  })

  it("prints a table of the clients, from the held-out part of the run's own data", async () => {
    const { code, output, errors } = await call(own)
    expect(code, errors).toBe(0)
    expect(output).toContain("2 clients' own data")
    expect(output).toMatch(/^north +0\.\d+ +-?\d+\.\d\d +/m)
    expect(output).toContain('exact, from 4 coalitions')
    expect(output).toContain('valuation.json')
    expect(output.split('\n').length).toBeLessThan(40)
  })

  it('gives the whole valuation as JSON, with learned weights that aggregate takes', async () => {
    const { code, output, errors } = await call([...own, '--samples', '4', '--learn', 'weights,lambda', '--json'])
    expect(code, errors).toBe(0)
    const value = JSON.parse(output) as Valuation & { arm: string; own: string[] }
    expect(value).toMatchObject({ arm: '1x1', own: ['north', 'south'], method: 'sampled', samples: 4 })
    expect(value.learned.map(({ kind }) => kind)).toEqual(['weights', 'lambda'])
    expect(JSON.parse(readFileSync(join(run, 'valuation.json'), 'utf8'))).toMatchObject({ clients: value.clients })
    const { weights } = value.learned[0]!
    const table = Object.entries(weights).map(([client, weight]) => `${client}=${weight}`)
    const updates = ['north', 'south'].map((client) => join(run, 'updates', '1x1', '1', `${client}.update.safetensors`))
    const words = [
      'aggregate',
      join(run, 'plan.json'),
      ...updates,
      '--weights',
      table.join(','),
      '--out',
      at('learned'),
    ]
    expect(await call(words)).toMatchObject({ code: 0 })
  })

  it.each<[string, string[], RegExp, number?]>([
    ['a folder that is no run', ['value', at('base'), '--base', at('base'), '--data', at('clients')], /plan\.json/],
    ['no data, of a run that is not the demo', ['value', run, '--base', at('base')], /--data PATH/, 2],
    ['no base', ['value', run, '--data', at('clients')], /--base/, 2],
    ['an arm that was not compared', [...own, '--arm', '9x9'], /1x1/],
    ['a split that the run did not have', [...own, '--split', 'iid'], /not the data of a client/],
  ])('refuses %s', async (_what, words, says, exit = 1) => {
    const { code, output, errors } = await call(words)
    expect(code).toBe(exit)
    expect(output).toBe('')
    expect(errors).toMatch(says)
  })
})

describe('the text of a valuation', () => {
  const clients = Array.from({ length: 300 }, (_, i) => ({
    client: `client-${i}`,
    weight: 1 / 300,
    shapley: i / 1000,
    interval: [i / 1000 - 1, i / 1000 + 1] as [number, number],
    leaveOneOut: 0,
    leaveOneOutInterval: [-0.002, 0.002] as [number, number],
  }))
  const weights = Object.fromEntries(clients.map(({ client }) => [client, 1 / 300]))
  const change = { before: 2, after: 1.9, tokens: 10, standardError: 0.01 }
  const valuation: Valuation = {
    version: 1,
    planSha256: 'a'.repeat(64),
    round: 1,
    data: { sha256: 'a'.repeat(64), examples: 10, tokens: 1000 },
    method: 'sampled',
    samples: 32,
    seed: 1,
    evaluations: 9000,
    baseLoss: 2,
    loss: 1,
    clients,
    findings: clients.map(({ client }) => ({ rule: 'no-value', clients: [client], text: `${client} is so.` })),
    learned: (['weights', 'lambda'] as const).map((kind) => ({
      kind,
      weights,
      lambda: 1.2,
      steps: 3,
      fit: change,
      test: change,
    })),
  }

  it('has under 40 lines for any number of clients, the best and the worst among them', () => {
    const text = valuationText({ valuation, arm: '1x3', file: 'run/valuation.json', own: [] })
    expect(text.split('\n').length).toBeLessThan(40)
    expect(text).toContain('client-299')
    expect(text).toContain('client-0')
    expect(text).toContain('284 more in the file')
    expect(text).toContain('lambda 1.200')
  })
})
