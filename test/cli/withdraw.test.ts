/** States and withdrawals as a person runs them: what is left is, byte for byte, what it would be without the client. */
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runCommandLine } from '../../src/cli/program.js'
import { temporary } from './built.js'
import { smallSettings as small, writeSmallWorld } from './small-data.js'
import { testTerminal } from './terminal.js'

const folder = temporary()
const at = (...parts: string[]): string => join(folder, ...parts)
const names = ['north', 'south']

/** What these tests look at in what commands tell. */
interface Told {
  receipt: string
  stateBefore: string
  stateAfter: string
  deleted: object[]
  cannotUndo: string[]
  state: { file: string; sha256: string }
}

async function run(...words: string[]) {
  const terminal = testTerminal()
  const code = await runCommandLine([...words, '--json'], terminal)
  expect(code, terminal.errors()).toBe(0)
  return JSON.parse(terminal.output()) as Told
}

const update = (client: string) => at(`${client}.update.safetensors`)
const adapterOf = (name: string) => readFileSync(at(name, 'adapter_model.safetensors'))

beforeAll(async () => {
  writeSmallWorld(folder)
  await run('plan', '--base', at('base'), '--clients', names.join(','), ...small, '--out', at('plan.json'))
  for (const client of names) {
    const data = at('clients', `${client}.jsonl`)
    const words = ['train', at('plan.json'), '--client', client, '--data', data, '--base', at('base')]
    await run(...words, '--out', update(client))
  }
}, 120_000)
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe.each(['updates', 'sums'])('a state that keeps %s', (keep) => {
  const state = (name: string) => at(`${name}-${keep}.state`)
  const aggregate = (name: string, ...more: string[]) =>
    run('aggregate', at('plan.json'), ...more, '--state', state(name), '--out', at(`${name}-${keep}`))

  it('takes a late client, another process, and gives a client back', async () => {
    await run('aggregate', at('plan.json'), ...names.map(update), '--out', at('both'))
    const begun = await aggregate('late', update('south'), '--keep', keep)
    expect(begun.state).toMatchObject({ file: state('late'), keeps: keep })
    await aggregate('late', update('north'))
    expect(adapterOf(`late-${keep}`).equals(adapterOf('both'))).toBe(true)

    await aggregate('one', update('north'), '--keep', keep)
    await aggregate('two', update('south'), '--keep', keep)
    await aggregate('merged', '--merge', state('one'), state('two'), '--keep', keep)
    expect(readFileSync(state('merged')).equals(readFileSync(state('late')))).toBe(true)

    const words = ['withdraw', state('merged'), '--client', 'south', '--plan', at('plan.json')]
    const told = await run(...words, '--update', ...names.map(update))
    expect(told).toMatchObject({ client: 'south', stateBefore: (await aggregate('late')).state.sha256 })
    expect(readFileSync(state('merged')).equals(readFileSync(state('one')))).toBe(true)
    const receipt = JSON.parse(readFileSync(told.receipt, 'utf8'))
    expect(receipt).toMatchObject({ version: 1, client: 'south', stateAfter: told.stateAfter })
    expect(receipt.cannotUndo.length).toBeGreaterThan(0)
    await aggregate('merged')
    expect(adapterOf(`merged-${keep}`).equals(adapterOf(`one-${keep}`))).toBe(true)
  })
})

describe('a run', () => {
  const simulate = (out: string, ...more: string[]) =>
    run('simulate', '--base', at('base'), '--data', at('clients'), ...small, ...more, '--out', at(out))

  it('of one round serves what it would have without the client, whose update is gone', async () => {
    await simulate('run', '--compare', 'base,1x1')
    const updates = at('run', 'updates', '1x1', '1')
    const north = at('kept.update.safetensors')
    copyFileSync(join(updates, 'north.update.safetensors'), north)
    const before = adapterOf('run/adapter')
    mkdirSync(at('run', 'values'))
    const derived = ['valuation.json', 'diagnosis.json', join('values', 'south.jsonl')].map((name) => at('run', name))
    for (const file of derived) writeFileSync(file, 'south')
    const told = await run('withdraw', at('run'), '--client', 'south')
    expect(derived.filter((file) => existsSync(file))).toEqual([])
    expect(told.deleted).toEqual([
      { file: 'updates/1x1/1/south.update.safetensors', sha256: expect.stringMatching(/^[0-9a-f]{64}$/) },
    ])
    expect(readdirSync(updates)).toEqual(['north.update.safetensors'])
    expect(readFileSync(at('run', 'state.json'), 'utf8')).not.toContain('south.update')
    await run('aggregate', at('run', 'plan.json'), north, '--out', at('without'))
    expect(adapterOf('run/adapter').equals(adapterOf('without'))).toBe(true)
    expect(adapterOf('run/adapter').equals(before)).toBe(false)
    const receipt = JSON.parse(readFileSync(at('run', 'withdrawals', 'south.json'), 'utf8'))
    expect(receipt).toMatchObject({ client: 'south', stateBefore: told.stateBefore, stateAfter: told.stateAfter })
    expect(Number.isNaN(Date.parse(receipt.time))).toBe(false)
    expect(receipt.cannotUndo.join()).not.toMatch(/after round 1/)

    const terminal = testTerminal()
    expect(await runCommandLine(['withdraw', at('run'), '--client', 'south'], terminal)).toBe(1)
    expect(terminal.errors()).toMatch(/holds no update of client 'south'.*found north/)
    // The last client cannot leave: nothing would be served.
    expect(await runCommandLine(['withdraw', at('run'), '--client', 'north'], testTerminal())).toBe(1)
    expect(existsSync(join(updates, 'north.update.safetensors'))).toBe(true)
  }, 120_000)

  it('of several rounds says what cannot be undone', async () => {
    mkdirSync(at('x'), { recursive: true })
    await simulate('rounds', '--compare', '2x1', '--rounds', '2')
    const told = await run('withdraw', at('rounds'), '--client', 'north')
    expect(told.deleted).toHaveLength(2)
    expect(told.cannotUndo.join('\n')).toMatch(/arm 2x1.*after round 1/)
  }, 120_000)
})
