import * as Plot from '@observablehq/plot'
import type { PairedComparison } from '../../diagnose/types.js'
import type { Figure } from '../html.js'
import { colour, draw } from './draw.js'

/** One round against several: the difference in held-out loss of each seed, their mean with its interval, and the margin. */
export function comparisonFigure(of: PairedComparison): Figure {
  const rows = of.perSeed.map(({ seed, difference }) => ({ name: `seed ${seed}`, difference }))
  const whole = [{ name: 'all', difference: of.difference, ...of.interval }]
  const title = `${of.one} against ${of.several}`
  const signed = (value: number) => `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(4)}`
  return {
    title,
    svg: draw(
      `${title}: difference ${signed(of.difference)}, interval ${signed(of.interval.low)} to ${signed(of.interval.high)}, margin ${signed(of.margin)}`,
      {
        height: 28 * (rows.length + 1) + 70,
        marginLeft: 64,
        marginTop: 28,
        x: { label: `loss of ${of.one} minus loss of ${of.several}, nats a token`, grid: true, ticks: 5, nice: true },
        y: { label: null, domain: [...rows.map(({ name }) => name), 'all'], tickSize: 0 },
        marks: [
          Plot.ruleX([0]),
          Plot.ruleX([of.margin], { stroke: colour(5), strokeDasharray: '4 3' }),
          Plot.text([of.margin], {
            x: (value: number) => value,
            frameAnchor: 'top',
            text: () => 'margin',
            dy: -12,
            fill: colour(5),
          }),
          Plot.dot(rows, { x: 'difference', y: 'name', r: 3.5, stroke: colour(2) }),
          Plot.ruleY(whole, { x1: 'low', x2: 'high', y: 'name', stroke: colour(2), strokeWidth: 3 }),
          Plot.dot(whole, { x: 'difference', y: 'name', r: 5, fill: colour(2) }),
        ],
      },
    ),
    caption: `Each ring is one seed over ${of.items} held-out examples, paired; the bar is the 95 % interval of the mean. Left of the dashed margin one round suffices, right of it several rounds are needed.`,
    data: {
      head: ['seed', of.one, of.several, 'difference'],
      rows: [
        ...of.perSeed.map(({ seed, one, several, difference }) => [
          String(seed),
          one.toFixed(4),
          several.toFixed(4),
          signed(difference),
        ]),
        ['all', '', '', `${signed(of.difference)} (${signed(of.interval.low)} to ${signed(of.interval.high)})`],
        ['margin', '', '', signed(of.margin)],
      ],
    },
  }
}
