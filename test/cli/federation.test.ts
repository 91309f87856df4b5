/** The commands one after another as a person types them, each a process of its own, on a base of a few thousand numbers. */
import { readdirSync, readFileSync, rmSync } from 'node:fs'
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

const run = (...words: string[]): Promise<Ended> => start(main, folder, words).ended
const file = (...parts: string[]): Buffer => readFileSync(join(folder, ...parts))
const weights = (adapter: string): Buffer => file(adapter, 'adapter_model.safetensors')

/** A command that must succeed; standard output must be one JSON value and nothing else. */
async function json(...words: string[]): Promise<Record<string, unknown>> {
  const { code, out, err } = await run(...words, '--json')
  expect(code, err).toBe(0)
  return JSON.parse(out) as Record<string, unknown>
}

const small = ['--rank', '4', '--targets', 'q_proj,v_proj', '--cutoff', '64', '--learning-rate', '3e-3', '--batch', '4']

describe('a federation by hand', () => {
  it('plans', async () => {
    const told = await json(
      'plan',
      '--base',
      'base',
      '--clients',
      'north,south',
      '--epochs',
      '2',
      ...small,
      '--out',
      'plan.json',
    )
    expect(told).toMatchObject({ file: 'plan.json', plan: { rounds: 1, train: { epochs: 2, learningRate: 3e-3 } } })
    expect(JSON.parse(file('plan.json').toString())).toEqual(told.plan)
  })

  it('lists every field that would leave, without training or writing', async () => {
    const words = [
      'train',
      'plan.json',
      '--client',
      'north',
      '--data',
      'clients/north.jsonl',
      '--out',
      'dry.update.safetensors',
      '--dry-run',
    ]
    const before = readdirSync(folder).sort()
    const { leaves } = (await json(...words)) as { leaves: { field: string; meaning: string }[] }
    expect(readdirSync(folder).sort()).toEqual(before)
    for (const { meaning } of leaves) expect(meaning).not.toBe('')
    dryFields = leaves.map(({ field }) => field)
    expect(dryFields).toContain('client')
    expect((await run(...words)).out).toContain('all that would leave')
  })
  let dryFields: string[] = []

  it('trains each client, and writes an update with the announced fields and a receipt', async () => {
    for (const client of ['north', 'south']) {
      const out = `${client}.update.safetensors`
      const told = await json(
        'train',
        'plan.json',
        '--client',
        client,
        '--data',
        `clients/${client}.jsonl`,
        '--base',
        'base',
        '--out',
        out,
      )
      expect(told).toMatchObject({ file: out, info: { client, round: 1 }, receipt: `${client}.receipt.json` })
    }
    const bytes = file('north.update.safetensors')
    const header = JSON.parse(bytes.subarray(8, 8 + Number(bytes.readBigUInt64LE(0))).toString()) as Record<
      string,
      object
    >
    const { __metadata__: metadata, ...tensors } = header
    const found = [...Object.keys(metadata ?? {}), ...Object.keys(tensors)].sort()
    expect(found).toEqual(dryFields.filter((field) => !field.startsWith('(')).sort())
    expect(bytes.includes(Buffer.from(folder))).toBe(false)
  })

  it('aggregates them, in any order to the same bytes', async () => {
    const told = await json(
      'aggregate',
      'plan.json',
      'north.update.safetensors',
      'south.update.safetensors',
      '--out',
      'adapter',
    )
    expect(told).toMatchObject({ method: 'svd', weights: { north: 16 / 28, south: 12 / 28 } })
    await json('aggregate', 'plan.json', 'south.update.safetensors', 'north.update.safetensors', '--out', 'reversed')
    expect(weights('reversed').equals(weights('adapter'))).toBe(true)
  })

  it('warns of what a stacked adapter gives away', async () => {
    const { code, out } = await run(
      'aggregate',
      'plan.json',
      'north.update.safetensors',
      'south.update.safetensors',
      '--method',
      'stack',
      '--out',
      'stacked',
    )
    expect(code).toBe(0)
    expect(out).toContain('verbatim')
    expect((await run('inspect', 'stacked')).out).toContain('verbatim')
  })

  it('evaluates: the adapter is better than the base on what it was made from', async () => {
    const words = ['evaluate', '--base', 'base', '--data', 'clients', '--plan', 'plan.json']
    const base = await json(...words)
    const tuned = await json(...words, '--adapter', 'adapter')
    expect(Number(tuned.loss)).toBeLessThan(Number(base.loss) - 0.02)
    expect(Number(tuned.perplexity)).toBeCloseTo(Math.exp(Number(tuned.loss)), 6)
  })

  it('simulates the same federation to the same bytes', async () => {
    const { code, out, err } = await run(
      'simulate',
      'plan.json',
      '--base',
      'base',
      '--data',
      'clients',
      '--out',
      'run/a',
    )
    expect(code, err).toBe(0)
    for (const arm of ['base', 'client north', 'client south', '1x2', '2x1', 'pooled'])
      expect(out).toMatch(new RegExp(`^${arm} `, 'm'))
    expect(out).toMatch(/Of the way from base|did not beat the base/)
    expect(
      Math.max(
        ...out
          .split('\n\n')
          .slice(0, 2)
          .join('\n')
          .split('\n')
          .map((line) => line.length),
      ),
    ).toBeLessThanOrEqual(100)
    expect(weights('run/a/adapter').equals(weights('adapter'))).toBe(true)
    expect(file('run/a/updates/1x2/1/north.update.safetensors').equals(file('north.update.safetensors'))).toBe(true)
  })

  it('rebuilds the report from the run folder alone', async () => {
    const written = file('run/a/report.html')
    expect(await json('report', 'run/a', '--out', 'again.html')).toEqual({ report: 'again.html' })
    expect(file('again.html').equals(written)).toBe(true)
    expect(written.toString()).toContain('<th scope="row">pooled</th>')
    expect(written.toString()).toContain('aria-label="Training loss of south"')
  })

  it('shows a finished run again without redoing anything', async () => {
    const before = file('run/a/state.json')
    const again = await json(
      'simulate',
      'plan.json',
      '--base',
      'base',
      '--data',
      'clients',
      '--out',
      'run/a',
      '--resume',
    )
    expect(file('run/a/state.json').equals(before)).toBe(true)
    expect(again.arms).toHaveLength(6)
  })

  it('inspects everything that it wrote', async () => {
    const kinds = ['plan.json', 'north.update.safetensors', 'north.receipt.json', 'adapter', 'run/a', 'base']
    const found = []
    for (const path of kinds) found.push((await json('inspect', path)).kind)
    expect(found).toEqual(['plan', 'update', 'receipt', 'adapter', 'run', 'base'])
    expect(await json('inspect', 'north.update.safetensors', '--plan', 'plan.json')).toMatchObject({ accepted: true })
  })

  it('goes through two rounds by file as simulate does', async () => {
    await json(
      'plan',
      '--base',
      'base',
      '--clients',
      'north,south',
      '--epochs',
      '1',
      '--rounds',
      '2',
      ...small,
      '--out',
      'two.json',
    )
    for (const round of ['1', '2']) {
      const start = round === '1' ? [] : ['--start', 'after1']
      const updates: string[] = []
      for (const client of ['north', 'south']) {
        const out = `${client}.${round}.update.safetensors`
        await json(
          'train',
          'two.json',
          '--client',
          client,
          '--data',
          `clients/${client}.jsonl`,
          '--base',
          'base',
          '--round',
          round,
          ...start,
          '--out',
          out,
        )
        updates.push(out)
      }
      await json('aggregate', 'two.json', ...updates, '--round', round, ...start, '--out', `after${round}`)
    }
    await json(
      'simulate',
      'two.json',
      '--base',
      'base',
      '--data',
      'clients',
      '--compare',
      'base,2x1',
      '--out',
      'run/two',
    )
    expect(weights('after2').equals(weights('run/two/adapter'))).toBe(true)
  })

  it('makes clients of one file by a field', async () => {
    const words = ['--compare', 'base,1x1', '--split', 'field:speaker', '--epochs', '1', ...small, '--out', 'run/field']
    const { arms } = (await json('simulate', '--base', 'base', '--data', 'clients/north.jsonl', ...words)) as {
      arms: { perClient: object }[]
    }
    expect(Object.keys(arms[0]?.perClient ?? {})).toEqual(['ann', 'bob'])
  })

  it('deals one file out to named clients', async () => {
    const words = [
      '--compare',
      'base,1x1',
      '--split',
      'iid',
      '--clients',
      'x,y,z',
      '--epochs',
      '1',
      ...small,
      '--out',
      'run/iid',
    ]
    const { arms } = (await json('simulate', '--base', 'base', '--data', 'clients/north.jsonl', ...words)) as {
      arms: { perClient: object }[]
    }
    expect(Object.keys(arms[0]?.perClient ?? {})).toEqual(['x', 'y', 'z'])
  })
})
