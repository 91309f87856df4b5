import * as Plot from '@observablehq/plot'
import type { Smoothness } from '../../diagnose/types.js'
import type { Figure } from '../html.js'
import { colour, draw } from './draw.js'

const KINDS = [
  ['ends', 'start and end'],
  ['neighbours', 'neighbouring steps'],
  ['random', 'random directions'],
] as const

/** L between three kinds of pairs of points, each with its interval. */
export function smoothnessFigure(of: Smoothness): Figure | undefined {
  const rows = KINDS.flatMap(([key, name]) => {
    const estimate = of[key]
    if (estimate === undefined || !Number.isFinite(estimate.mean)) return []
    const { mean, interval = { low: mean, high: mean }, draws, medianOfMeans } = estimate
    return [{ name, mean, low: interval.low, high: interval.high, draws, medianOfMeans, certain: estimate.interval }]
  })
  if (rows.length === 0) return undefined
  const title = 'Smoothness L'
  return {
    title,
    svg: draw(`${title}: ${rows.map(({ name, mean }) => `${name} ${mean.toPrecision(3)}`).join(', ')}`, {
      height: 34 * rows.length + 56,
      marginLeft: 124,
      x: { label: 'L, the same batch at both points', grid: true, zero: true, ticks: 5 },
      y: { label: null, domain: rows.map(({ name }) => name), tickSize: 0 },
      marks: [
        Plot.ruleY(rows, { x1: 'low', x2: 'high', y: 'name', stroke: colour(2), strokeWidth: 3 }),
        Plot.dot(rows, { x: 'mean', y: 'name', r: 5, fill: colour(2) }),
        Plot.tickX(rows, { x: 'medianOfMeans', y: 'name', stroke: colour(1), strokeWidth: 2, inset: 8 }),
      ],
    }),
    caption: `Dot and bar: mean and 95 % interval; upright line: median of means. ${of.settled ? 'The intervals are as narrow as was asked.' : 'The intervals are wider than was asked: the budget ended first.'}`,
    data: {
      head: ['between', 'mean', 'median of means', '95 % interval', 'draws'],
      rows: rows.map(({ name, mean, low, high, draws, medianOfMeans, certain }) => [
        name,
        mean.toPrecision(4),
        medianOfMeans.toPrecision(4),
        certain ? `${low.toPrecision(4)} to ${high.toPrecision(4)}` : 'too few draws',
        String(draws),
      ]),
    },
  }
}
