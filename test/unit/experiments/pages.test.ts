/** What docs say of experiments is what their records say: the pages are made again and compared. */
import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { type ArmName, checkArmPlans, checkCompare } from '../../../src/federation/arms.js'
import { openModel } from '../../../src/model/open.js'
import { createPlan, type PlanOptions } from '../../../src/update/create-plan.js'

const root = new URL('../../../', import.meta.url)
const text = (path: string) => readFileSync(new URL(path, root), 'utf8')
interface Cell {
  arms: ArmName[]
  horizon: number
  learningRate: number
  batch: number
  rank: number
  cutoff: number
  heldOut: number
  plan: PlanOptions
}
interface Studies {
  studyNames: string[]
  readStudy(name: string): { cells: Cell[]; seeds: number[] }
}
const load = (path: string): Promise<unknown> => import(new URL(path, root).href)

it('docs/results.md is made of the results', async () => {
  const { resultsPage } = (await load('experiments/results-page.mjs')) as { resultsPage(): string }
  expect(`${resultsPage()}\n`).toBe(text('docs/results.md'))
})

it('docs/calibration.md is made of the shipped rules', async () => {
  const { calibrationPage } = (await load('experiments/calibration-page.mjs')) as { calibrationPage(): string }
  expect(`${calibrationPage()}\n`).toBe(text('docs/calibration.md'))
})

it('the plan of every cell is one that its arms can have', async () => {
  const { readStudy, studyNames } = (await load('experiments/study.mjs')) as Studies
  const base = await openModel(new URL('base', root).pathname)
  for (const name of studyNames) {
    for (const { arms, horizon, learningRate, batch, rank, cutoff, heldOut, plan: fields } of readStudy(name).cells) {
      const factors = fields.trainable === 'full' ? {} : { rank }
      const shared = { clients: [], rounds: 1, epochs: horizon, learningRate, batch, cutoff, heldOut }
      const plan = await createPlan(base, { ...shared, ...factors, ...fields })
      expect(() => checkArmPlans(plan, checkCompare(arms)), `${name} ${arms.join()}`).not.toThrow()
    }
  }
  await base.close()
})

it('every study reads, and has cells of its own with the base and one round', async () => {
  const { readStudy, studyNames } = (await load('experiments/study.mjs')) as Studies
  expect(studyNames.length).toBeGreaterThan(5)
  for (const name of studyNames) {
    const { cells, seeds } = readStudy(name)
    expect(seeds.length, name).toBeGreaterThan(0)
    expect(new Set(cells.map((cell) => JSON.stringify({ ...cell, varied: undefined }))).size, name).toBe(cells.length)
    for (const { arms, horizon } of cells) expect(arms, name).toEqual(expect.arrayContaining(['base', `1x${horizon}`]))
  }
})
