// Records of a study as Markdown tables.
import { pairedDifference } from '../dist/diagnose/comparison.js'
import { verdictOf } from './contrasts.mjs'

const fixed = (value, digits = 3) =>
  value === undefined || value === null || !Number.isFinite(value) ? '–' : value.toFixed(digits)
const signed = (value, digits = 4) => (value >= 0 ? '+' : '−') + Math.abs(value).toFixed(digits)
export const percent = (value, digits = 0) => `${value < 0 ? '−' : ''}${(100 * Math.abs(value)).toFixed(digits)} %`
export const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length
const known = (values) => values.filter((value) => value !== undefined && value !== null)
const meanKnown = (values) => (known(values).length === 0 ? undefined : mean(known(values)))

export function table(heading, rows) {
  const line = (cells) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  return [line(heading), line(heading.map(() => '---')), ...rows.map(line)].join('\n')
}

/** What a cell differs in, in words. */
export function nameOf({ settings: { varied } }) {
  const words = Object.entries(varied)
    .filter(([key]) => !['ask', 'explain', 'arms', 'perClient'].includes(key))
    .flatMap(([key, value]) => (typeof value === 'object' ? Object.entries(value) : [[key, value]]))
    .map(([key, value]) => `${WORDS[key] ?? key} ${value}`)
  if (varied.perClient !== undefined) words.push(`${varied.perClient} examples each`)
  return words.join(', ') || 'as stated'
}
const WORDS = {
  base: 'base:',
  source: 'text:',
  split: 'split',
  horizon: 'epochs',
  learningRate: 'step',
  trainable: 'training',
}

const interval = ({ difference, interval: { low, high } }) =>
  `${signed(difference)} (${signed(low)} to ${signed(high)})`

/** One row a cell: losses, and one round against as many rounds as epochs. */
export function mainTable({ cells }) {
  const rows = cells.map((cell) => {
    const { horizon } = cell.settings
    const loss = (arm) => fixed(cell.losses[arm] && mean(cell.losses[arm].perSeed))
    const rival = cell.contrasts.find(({ arm }) => arm === `${horizon}x1`)
    return [
      nameOf(cell),
      loss('base'),
      loss(`1x${horizon}`),
      loss(`${horizon}x1`),
      loss('pooled'),
      rival ? interval(rival) : '–',
      rival ? percent(rival.share, 1) : '–',
      verdictOf(cell) ?? '–',
    ]
  })
  return table(['cell', 'base', '1xE', 'Ex1', 'pooled', '1xE − Ex1 (95 %)', "of Ex1's gain", 'verdict'], rows)
}

/** Cells that base and data explained, averaged over the seeds that were. */
export function reasonsTable({ cells }) {
  const explained = cells.filter(({ reasons }) => reasons.some(({ relativeGap }) => relativeGap !== undefined))
  if (explained.length === 0) return ''
  const rows = explained.map((cell) => {
    const of = (field) => meanKnown(cell.reasons.map((row) => row[field]))
    return [
      nameOf(cell),
      fixed(of('tau'), 4),
      fixed(of('L'), 2),
      fixed(of('turn'), 2),
      fixed(of('relativeGap'), 2),
      fixed(of('epsilon'), 3),
      fixed(of('rederived'), 3),
      fixed(of('published'), 0),
      fixed(of('meanCosine'), 2),
      fixed(of('disagreement'), 2),
      fixed(of('fedit'), 2),
    ]
  })
  const heading = [
    'cell',
    'tau',
    'L',
    'turn',
    'gap / travel',
    'gap',
    're-derived',
    'published',
    'cosine',
    'disagreement',
    'error of fedit',
  ]
  return table(...withoutEmpty(heading, rows))
}

/** Columns in which no cell has a number are left out. */
function withoutEmpty(heading, rows) {
  const told = heading.map((_, i) => rows.some((row) => row[i] !== '–'))
  const kept = (row) => row.filter((_, i) => told[i])
  return [kept(heading), rows.map(kept)]
}

/** Arms other than base, 1xE, Ex1 against 1xE: positive where 1xE loses more. */
export function rivalsTable({ cells }) {
  const plain = ({ settings }, arm) => arm === `${settings.horizon}x1`
  const rows = cells.flatMap((cell) =>
    cell.contrasts
      .filter(({ arm }) => !plain(cell, arm))
      .map((row) => [nameOf(cell), row.arm, interval(row), row.gain > 0 ? percent(row.share, 1) : 'it gains nothing']),
  )
  return rows.length === 0 ? '' : table(['cell', 'arm', '1xE loses more than it (95 %)', 'of its gain'], rows)
}

/** One-round remedies against the plain mean on the test half: negative where the remedy is better. */
export function remediesTable({ cells }) {
  const asked = cells.filter(({ asked }) => asked.remedies?.length > 0)
  if (asked.length === 0) return ''
  const names = [...new Set(asked.flatMap(({ asked }) => asked.remedies.flatMap(({ losses }) => Object.keys(losses))))]
  const rows = asked.map((cell) => [
    nameOf(cell),
    ...names.filter((name) => name !== 'mean').map((name) => told(cell.asked.remedies, name)),
  ])
  return table(['cell', ...names.filter((name) => name !== 'mean')], rows)
}

function told(seeds, name) {
  const having = seeds.filter(({ losses }) => losses[name] !== undefined)
  if (having.length === 0) return '–'
  const { difference, interval } = remedyOf(having, name)
  const sure = interval.high < 0 || interval.low > 0
  return `${sure ? '**' : ''}${signed(difference)}${sure ? '**' : ''}`
}

/** Paired by item over seeds. */
export function remedyOf(seeds, name) {
  return pairedDifference(
    seeds.map(({ seed, tokens, base, losses }) => ({
      seed,
      keys: tokens.map((_, i) => `${seed}/${i}`),
      tokens,
      base,
      one: losses[name],
      several: losses.mean,
    })),
  )
}

/** Loss after each arrival, and what leaving one client out changes at the most. */
export function arrivalTable({ cells }) {
  const asked = cells.filter(({ asked }) => asked.arrival?.length > 0)
  if (asked.length === 0) return ''
  const count = Math.max(...asked.flatMap(({ asked }) => asked.arrival.map(({ arrived }) => arrived.length)))
  const rows = asked.map((cell) => {
    const seeds = cell.asked.arrival
    const changes = seeds.flatMap(({ arrived, without }) => Object.values(without).map((loss) => loss - arrived.at(-1)))
    return [
      nameOf(cell),
      fixed(mean(seeds.map(({ base }) => base))),
      ...Array.from({ length: count }, (_, i) => fixed(mean(seeds.map(({ arrived }) => arrived[i])))),
      `${signed(Math.min(...changes))} to ${signed(Math.max(...changes))}`,
    ]
  })
  return table(['cell', 'none', ...Array.from({ length: count }, (_, i) => `${i + 1}`), 'without one client'], rows)
}

/** Right answers to questions that no client holds; means over seeds, the larger of the standard errors. */
export function accuracyTable({ cells }) {
  const asked = cells.filter(({ asked }) => asked.accuracy?.length > 0)
  if (asked.length === 0) return ''
  const arms = [...new Set(asked.flatMap(({ asked }) => asked.accuracy.flatMap(({ arms }) => Object.keys(arms))))]
  const rows = asked.map((cell) => [
    nameOf(cell),
    `${cell.asked.accuracy[0].questions}`,
    ...arms.map((arm) => {
      const seeds = cell.asked.accuracy.map(({ arms }) => arms[arm])
      const error = Math.max(...seeds.map(({ standardError }) => standardError))
      return `${percent(mean(seeds.map(({ accuracy }) => accuracy)), 1)} ± ${percent(error, 1)}`
    }),
  ])
  return table(['cell', 'questions', ...arms], rows)
}
