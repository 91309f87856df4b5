// A study: one question, its settings, and the cells in which they vary.
import { readdirSync, readFileSync } from 'node:fs'

export const studyNames = readdirSync(new URL('studies', import.meta.url))
  .filter((name) => name.endsWith('.json'))
  .map((name) => name.slice(0, -5))
  .sort()

/** What a cell is made of where neither the study nor the cell says otherwise. */
const DEFAULTS = {
  base: 'embedded',
  source: 'presidents',
  split: 'iid',
  clients: 10,
  /** of all clients together */
  examples: 480,
  /** share of each client's examples: at least 300 items judge */
  heldOut: 0.65,
  cutoff: 40,
  /** epochs of the horizon E: one round has them all, its rival one each */
  horizon: 3,
  learningRate: 2e-3,
  batch: 4,
  rank: 8,
  arms: ['base', '1xE', 'Ex1'],
  /** fields of the plan beside those above */
  plan: {},
  /** what else is asked of 1xE's updates: remedies, arrival */
  ask: [],
  /** seeds whose data explain too: L, curvature, lambda, the line between arms; that costs as much as training */
  explain: 1,
}

/**
 * @typedef {{ name: string, title: string, question: string, claims: object[], seeds: number[], cells: object[] }} Study
 * @returns {Study}
 */
export function readStudy(name) {
  const file = new URL(`studies/${name}.json`, import.meta.url)
  const { settings = {}, grids, seeds, ...rest } = JSON.parse(readFileSync(file, 'utf8'))
  const cells = new Map()
  for (const grid of grids) {
    for (const varied of productOf(grid)) {
      const cell = complete({ ...DEFAULTS, ...settings, ...varied, varied })
      cells.set(JSON.stringify({ ...cell, varied: undefined }), cell)
    }
  }
  const first = rest.firstSeed ?? 0
  return { ...rest, name, seeds: Array.from({ length: seeds }, (_, i) => first + i), cells: [...cells.values()] }
}

/** { a: [1, 2], b: [3] } -> { a: 1, b: 3 }, { a: 2, b: 3 }. A value that is an object gives several settings at once. */
function productOf(grid) {
  return Object.entries(grid).reduce(
    (rows, [key, values]) => rows.flatMap((row) => values.map((value) => ({ ...row, [key]: value }))),
    [{}],
  )
}

/** Settings that others give, and arms with the horizon in their names. */
function complete({ together, perClient, ...cell }) {
  const settings = { ...cell, ...together }
  if (perClient !== undefined) settings.examples = perClient * settings.clients
  const E = settings.horizon
  return {
    ...settings,
    arms: [...new Set(settings.arms.map((arm) => arm.replace('xE', `x${E}`).replace(/^Ex/, `${E}x`)))],
  }
}
