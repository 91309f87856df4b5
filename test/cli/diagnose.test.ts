/** The diagnose command in its three forms, as a person runs it. */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { buildCli, type Ended, start, temporary } from './built.js'
import { smallSettings, writeSmallWorld } from './small-data.js'

const folder = temporary()
let main = ''
const run = (...words: string[]): Promise<Ended> => start(main, folder, words).ended
const settings = [...smallSettings, '--rounds', '2', '--held-out', '0.4']
const compared = ['--base', 'base', '--data', 'clients', '--compare', 'base,1x2,2x1']
const simulation = [...compared, '--seeds', '3', '--out', 'run', ...settings]
let simulated: Ended

beforeAll(async () => {
  main = buildCli(folder)
  writeSmallWorld(folder)
  simulated = await run('simulate', ...simulation)
  expect(simulated.code, simulated.err).toBe(0)
  const ended = await run('plan', '--base', 'base', '--clients', 'north,south', ...settings, '--out', 'plan.json')
  expect(ended.code, ended.err).toBe(0)
}, 300_000)
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('diagnose', () => {
  it('ends a simulation of several seeds with its answer, and goes on in them', async () => {
    expect(simulated.out.split('\n').length).toBeLessThan(41)
    expect(simulated.out).toMatch(/one against several +1x2 - 2x1: .* 3 seeds/)
    expect(simulated.out).toMatch(/3 run folders in run; report with this answer: run\/seed-0\/report\.html\n$/)
    expect(simulated.err).toMatch(/run 3 of 3: seed 2, learning rate [0-9.]+, in run\/seed-2/)
    expect(readFileSync(join(folder, 'run/seed-0/report.html'), 'utf8')).toContain('nats a token, 95 % interval')
    const refused = await run('simulate', ...simulation)
    expect(refused.code).toBe(1)
    expect(refused.err).toMatch(/--resume/)
    const again = await run('simulate', ...simulation, '--resume', '--json')
    expect(again.code, again.err).toBe(0)
    expect(JSON.parse(again.out)).toMatchObject({
      runs: ['run/seed-0', 'run/seed-1', 'run/seed-2'],
      report: 'run/seed-0/report.html',
      diagnosis: { evidence: 'simulation', comparison: { seeds: [0, 1, 2] } },
    })
    const inside = await run('simulate', ...compared, '--seeds', '2', '--out', 'run/seed-0', ...settings)
    expect(inside.code).toBe(2)
    expect(inside.err).toMatch(/The folder is a run itself/)
  }, 120_000)

  it('tells run folders in under 40 lines and keeps the diagnosis in the first', async () => {
    const told = await run('diagnose', 'run/seed-0', 'run/seed-1', 'run/seed-2', '--base', 'base', '--data', 'clients')
    expect(told.code, told.err).toBe(0)
    expect(told.out.split('\n').length).toBeLessThan(41)
    expect(told.out).toMatch(/one against several +1x2 - 2x1: /)
    expect(told.out).toMatch(/smoothness L +ends /)
    const kept = JSON.parse(readFileSync(join(folder, 'run/seed-0/diagnosis.json'), 'utf8'))
    expect(kept).toMatchObject({ version: 1, evidence: 'simulation', comparison: { seeds: [0, 1, 2] } })
    const again = await run(
      'diagnose',
      'run/seed-0',
      'run/seed-1',
      'run/seed-2',
      '--base',
      'base',
      '--data',
      'clients',
      '--json',
    )
    expect(JSON.parse(again.out)).toEqual(kept)
  }, 120_000)

  it('is told again by report, beside what the clients are worth', async () => {
    const data = ['--base', 'base', '--data', 'clients']
    expect((await run('value', 'run/seed-0', ...data)).code).toBe(0)
    const told = await run('report', 'run/seed-0')
    expect(told.code, told.err).toBe(0)
    expect(told.out.trimEnd().split('\n').length).toBeLessThan(40)
    expect(told.out).toMatch(/one against several +1x2 - 2x1: /)
    expect(told.out).toMatch(/clients' values +(north|south) .* thousandths of a nat \(Shapley, 2x1\)/)
    expect(told.out).toMatch(/report written to run\/seed-0\/report\.html\n$/)
    expect(readFileSync(join(folder, 'run/seed-0/report.html'), 'utf8')).toContain('Value of each client')
    expect((await run('report', 'run/seed-1')).out).toBe('report written to run/seed-1/report.html\n')
  }, 120_000)

  it("goes from a client's data to the host's diagnosis by files alone", async () => {
    for (const client of ['north', 'south']) {
      const data = ['--client', client, '--data', `clients/${client}.jsonl`, '--base', 'base']
      const before = await run('diagnose', 'plan.json', ...data, '--json')
      expect(before.code, before.err).toBe(0)
      expect(JSON.parse(before.out)).toMatchObject({ evidence: 'client', similarity: { unknown: expect.any(String) } })
      const trained = await run('train', 'plan.json', ...data, '--out', `${client}.update.safetensors`)
      expect(trained.code, trained.err).toBe(0)
    }
    const updates = ['north.update.safetensors', 'south.update.safetensors']
    expect((await run('aggregate', 'plan.json', ...updates, '--out', 'adapter')).code).toBe(0)
    for (const client of ['north', 'south']) {
      const data = ['--client', client, '--data', `clients/${client}.jsonl`, '--base', 'base']
      const sent = await run(
        'diagnose',
        'plan.json',
        ...data,
        '--aggregate',
        'adapter',
        '--out',
        `${client}.losses.json`,
      )
      expect(sent.code, sent.err).toBe(0)
    }
    expect(readFileSync(join(folder, 'north.losses.json')).byteLength).toBeLessThan(2000)
    const host = await run(
      'diagnose',
      'plan.json',
      ...updates,
      'north.losses.json',
      'south.losses.json',
      '--aggregate',
      'adapter',
    )
    expect(host.code, host.err).toBe(0)
    expect(host.out).toMatch(/^lambda +best /m)
    expect(host.out).toMatch(/^smoothness L +unknown: the host holds no data/m)
  }, 240_000)

  it.each([
    ['a key that is not in the list', { note: 'hello' }, /note/],
    ['a loss that is no loss', { losses: [{ lambda: 0, loss: -1 }] }, /losses/],
    ['another plan', { plan: '0'.repeat(64) }, /rule 'plan'/],
    ['a stranger', { client: 'mallory' }, /rule 'client'/],
  ])('refuses a message with %s', async (_, change, found) => {
    const message = JSON.parse(readFileSync(join(folder, 'north.losses.json'), 'utf8'))
    writeFileSync(join(folder, 'bad.losses.json'), JSON.stringify({ ...message, ...change }))
    const ended = await run(
      'diagnose',
      'plan.json',
      'north.update.safetensors',
      'south.update.safetensors',
      'bad.losses.json',
    )
    expect(ended.code).toBe(1)
    expect(ended.err).toMatch(found)
  })

  it('asks for one kind of evidence', async () => {
    for (const words of [[], ['plan.json'], ['plan.json', '--client', 'north'], ['run/seed-0', '--data', 'clients']]) {
      const ended = await run('diagnose', ...words)
      expect(ended.code, words.join(' ')).toBe(2)
      expect(ended.err).toMatch(/one kind of evidence/)
    }
    expect(existsSync(join(folder, 'run/seed-1/diagnosis.json'))).toBe(false)
  })
})
