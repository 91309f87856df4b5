import * as Plot from '@observablehq/plot'
import { type Bounds, type Gap, isKnown, type Known } from '../../diagnose/types.js'
import type { Figure } from '../html.js'
import { colour, draw } from './draw.js'

/** Both bounds beside the measured distance of the two results, on a logarithmic scale. */
export function boundsFigure(bounds: Bounds, gap: Known<Gap>): Figure {
  const rows = [
    { name: 'published', value: bounds.published, fill: colour(1) },
    { name: 're-derived', value: bounds.rederived, fill: colour(3) },
    ...(isKnown(gap) ? [{ name: 'measured', value: gap.epsilon, fill: colour(2) }] : []),
  ].filter(({ value }) => Number.isFinite(value) && value > 0)
  const title = 'Bound against measured'
  const { L, tau, rounds, steps, clients, eta, baseNorm } = bounds.inputs
  return {
    title,
    svg: draw(`${title}: ${rows.map(({ name, value }) => `${name} ${value.toExponential(1)}`).join(', ')}`, {
      height: 34 * rows.length + 56,
      marginLeft: 84,
      marginRight: 60,
      x: { type: 'log', label: 'distance of the weights', ticks: 4, tickFormat: powerOfTen, grid: true },
      y: { label: null, domain: rows.map(({ name }) => name), tickSize: 0 },
      marks: [
        Plot.dot(rows, { x: 'value', y: 'name', r: 5, fill: 'fill' }),
        Plot.text(rows, {
          x: 'value',
          y: 'name',
          text: ({ value }: { value: number }) => value.toExponential(1),
          dx: 10,
          textAnchor: 'start',
        }),
      ],
    }),
    caption: bounds.holds
      ? 'Published: L·tau·T·k·m·||w0||; re-derived: 2·eta·L·tau·(T−1)·k·||w0||. Both hold for this optimizer.'
      : 'Published: L·tau·T·k·m·||w0||; re-derived: 2·eta·L·tau·(T−1)·k·||w0||. Both are derived for SGD; with this optimizer they are heuristics.',
    data: {
      head: ['what', 'value'],
      rows: [
        ...rows.map(({ name, value }) => [name, value.toExponential(3)]),
        ...Object.entries({ L, tau, T: rounds, k: steps, m: clients, eta, '||w0||': baseNorm }).map(([name, value]) => [
          name,
          value.toPrecision(4),
        ]),
      ],
    },
  }
}

/** Only whole powers are written; the lines between them have no name. */
function powerOfTen(value: number): string {
  const power = Math.log10(value)
  return Math.abs(power - Math.round(power)) < 1e-9 ? value.toExponential(0) : ''
}
