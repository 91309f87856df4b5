/** What docs say of experiments is what their records say: the pages are made again and compared. */
import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'

const root = new URL('../../../', import.meta.url)
const text = (path: string) => readFileSync(new URL(path, root), 'utf8')
const load = (path: string): Promise<unknown> => import(new URL(path, root).href)

it('docs/results.md is made of the results', async () => {
  const { resultsPage } = (await load('experiments/results-page.mjs')) as { resultsPage(): string }
  expect(`${resultsPage()}\n`).toBe(text('docs/results.md'))
})

it('docs/calibration.md is made of the shipped rules', async () => {
  const { calibrationPage } = (await load('experiments/calibration-page.mjs')) as { calibrationPage(): string }
  expect(`${calibrationPage()}\n`).toBe(text('docs/calibration.md'))
})

it('every study reads, and has cells of its own with the base and one round', async () => {
  const { readStudy, studyNames } = (await load('experiments/study.mjs')) as {
    studyNames: string[]
    readStudy(name: string): { cells: Record<string, unknown>[]; seeds: number[] }
  }
  expect(studyNames.length).toBeGreaterThan(5)
  for (const name of studyNames) {
    const { cells, seeds } = readStudy(name)
    expect(seeds.length, name).toBeGreaterThan(0)
    expect(new Set(cells.map((cell) => JSON.stringify({ ...cell, varied: undefined }))).size, name).toBe(cells.length)
    for (const { arms, horizon } of cells as { arms: string[]; horizon: number }[])
      expect(arms, name).toEqual(expect.arrayContaining(['base', `1x${horizon}`]))
  }
})
