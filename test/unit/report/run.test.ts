import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { writeReport } from '../../../src/report/report.js'
import { readReport } from '../../../src/report/run.js'
import { planText } from '../../../src/update/plan.js'
import { someArms } from './arms.js'
import { someDiagnosis } from './diagnosis.js'
import { somePlan } from './plan.js'
import { someValuation } from './valuation.js'

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'oneround-report-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

function write(results: Record<string, unknown>, events: readonly object[], tail = ''): void {
  writeFileSync(join(folder, 'plan.json'), planText(somePlan(['a', 'b'])))
  writeFileSync(join(folder, 'state.json'), JSON.stringify({ version: 1, files: {}, results }))
  writeFileSync(join(folder, 'metrics.jsonl'), events.map((event) => `${JSON.stringify(event)}\n`).join('') + tail)
}

const step = (arm: string, client: string | undefined, at: number, loss: number) => ({
  event: 'step',
  arm,
  client,
  round: 1,
  step: at,
  loss,
})

it('takes arms in the order that was asked for and leaves damaged ones out', async () => {
  const arms = someArms(['a', 'b'])
  const of = (name: string) => arms.filter((arm) => arm.name === name)
  write(
    {
      'arm/pooled': of('pooled'),
      'arm/2x1': of('3x1'),
      'arm/base': of('base'),
      'arm/1x3': [{ name: '1x3', overall: 'good' }],
      'arm/client': 7,
      'data/a': 'x',
    },
    [{ event: 'run', compare: ['base', 'client', '1x3', 'pooled'] }],
  )
  expect((await readReport(folder)).arms.map((arm) => arm.name)).toEqual(['base', 'pooled', '3x1'])
})

it('counts a step that was redone once, as it was redone, in the order of steps', async () => {
  write({}, [
    step('1x3', 'a', 1, 4),
    step('1x3', 'a', 2, 3),
    step('1x3', 'a', 1, 3.5),
    step('1x3', 'b', 1, 2),
    step('pooled', undefined, 1, 1),
  ])
  expect((await readReport(folder)).curves).toEqual([
    {
      arm: '1x3',
      client: 'a',
      points: [
        { x: 1, y: 3.5 },
        { x: 2, y: 3 },
      ],
    },
    { arm: '1x3', client: 'b', points: [{ x: 1, y: 2 }] },
    { arm: 'pooled', client: undefined, points: [{ x: 1, y: 1 }] },
  ])
})

it('takes the closing of the last round of each arm', async () => {
  const closing = { event: 'aggregate', arm: '3x1', ranks: [2, 4], relativeError: 0 }
  write({}, [
    { ...closing, round: 1 },
    { ...closing, round: 3, method: 'svd', relativeError: 5e-4 },
  ])
  expect((await readReport(folder)).closings).toEqual([
    { arm: '3x1', method: 'svd', ranks: [2, 4], relativeError: 5e-4 },
  ])
})

it('makes a page of a run that was killed while it wrote', async () => {
  write({}, [step('1x3', 'a', 1, 4)], '{"event":"step","arm":"1x')
  const file = await writeReport(folder)
  expect(file).toBe(join(folder, 'report.html'))
  expect(readFileSync(file, 'utf8')).toContain('No arm of this run is finished yet')
})

it('refuses what is no run and writes nothing there', async () => {
  await expect(writeReport(folder)).rejects.toMatchObject({ code: 'NOT_FOUND' })
  expect(() => readFileSync(join(folder, 'report.html'))).toThrow()
})

it('tells what a diagnosis in the folder says, and makes a page without one that is damaged', async () => {
  const arms = someArms(['a', 'b'])
  write({ 'arm/base': arms.filter((arm) => arm.name === 'base') }, [])
  const pageWith = async (diagnosis: string) => {
    writeFileSync(join(folder, 'diagnosis.json'), diagnosis)
    return readFileSync(await writeReport(folder), 'utf8')
  }
  expect(await pageWith(JSON.stringify(someDiagnosis(['a', 'b'])))).toContain('<h2>Not enough evidence</h2>')
  for (const damaged of [
    '{',
    '[]',
    '{"version":1}',
    '{"version":1,"verdict":{"kind":"<b>","numbers":[{"value":"x"}]}}',
  ]) {
    const html = await pageWith(damaged)
    expect(html).toContain('<h2>Arms</h2>')
    expect(html).not.toContain('<b>')
  }
})

it('tells a valuation of one of its own arms, and none that is damaged or of another plan', async () => {
  const plan = somePlan(['a', 'b'])
  const arms = someArms(['a', 'b'])
  write({ 'arm/base': arms.filter((arm) => arm.name === 'base') }, [])
  writeFileSync(
    join(folder, 'state.json'),
    JSON.stringify({
      version: 1,
      files: { 'updates/3x1/3/a.update.safetensors': { sha256: 'e'.repeat(64), bytes: 1 } },
      results: {},
    }),
  )
  const armOf = async (valuation: object | string) => {
    writeFileSync(join(folder, 'valuation.json'), typeof valuation === 'string' ? valuation : JSON.stringify(valuation))
    return (await readReport(folder)).valued?.arm
  }
  const own = someValuation(plan, ['a', 'b'])
  expect(await armOf(own)).toBe('1x3')
  const several = { ...plan, rounds: 3, train: { ...plan.train, epochs: 1 } }
  expect(await armOf(someValuation(several, ['a', 'b']))).toBe('3x1')
  expect(await armOf({ ...own, planSha256: 'f'.repeat(64) })).toBeUndefined()
  expect(await armOf({ ...own, loss: 'low' })).toBeUndefined()
  expect(await armOf('{')).toBeUndefined()
  expect(readFileSync(await writeReport(folder), 'utf8')).not.toContain('Values of the clients')
})
