/** The demo as a command, on a base of a few thousand numbers: what it prints, what it leaves, and when it is asked again. */
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { buildCli, type Ended, start, temporary } from './built.js'
import { writeSmallWorld } from './small-data.js'

const folder = temporary()
let main = ''

beforeAll(() => {
  main = buildCli(folder)
  writeSmallWorld(folder)
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const demo = (...words: string[]): Promise<Ended> => start(main, folder, ['demo', '--base', 'base', ...words]).ended

describe('the demo', () => {
  let first: Ended

  it('compares ten clients in all arms and leaves an adapter and a report', async () => {
    first = await demo()
    expect(first.code, first.err).toBe(0)
    for (const arm of ['base', 'client Barack-Obama', '1x3', '3x1', 'pooled'])
      expect(first.out).toMatch(new RegExp(`^${arm} +\\d+\\.\\d{3} `, 'm'))
    expect(first.out.match(/^client /gm)).toHaveLength(11) // ten arms, and the head of the second table
    expect(first.out).toMatch(/way from base|no better than|does not|worse/)
    expect(readFileSync(join(folder, 'run/demo/report.html'), 'utf8')).toContain('Barack-Obama')
    expect(readFileSync(join(folder, 'run/demo/adapter/adapter_config.json'), 'utf8')).toContain('"LORA"')
  }, 300_000)

  it('shows a finished run again without training', async () => {
    const again = await demo()
    expect(again.code, again.err).toBe(0)
    expect(again.out).toBe(first.out)
    expect(again.err).not.toMatch(/train 1x3/)
  }, 60_000)

  it('has clients whose value can be told without naming data that lie in no file', async () => {
    const told = await start(main, folder, ['value', 'run/demo', '--base', 'base', '--samples', '1', '--json']).ended
    expect(told.code, told.err).toBe(0)
    const { own, arm, clients } = JSON.parse(told.out) as { own: string[]; arm: string; clients: unknown[] }
    expect(own).toHaveLength(10)
    expect(own).toContain('Barack-Obama')
    expect([arm, clients.length]).toEqual(['1x3', 10])
  }, 120_000)

  it('refuses other settings in the same folder and says how to go on', async () => {
    const other = await demo('--seed', '1')
    expect(other.code).toBe(1)
    expect(other.err).toMatch(/--out/)
  }, 60_000)
})
