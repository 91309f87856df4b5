import * as Plot from '@observablehq/plot'
import type { ClientValue, Valuation } from '../../valuation/valuation.js'
import { shorten } from '../escape.js'
import type { Figure } from '../html.js'
import { thousandths, thousandthsRange } from '../numbers.js'
import { colour, draw } from './draw.js'

/** clients whose bars are drawn; of more, the best and the worst half of this */
const MOST = 24
/** height of a client's two bars with the space around them */
const BAND = 32
const MARGIN_TOP = 8
const MARGIN_BOTTOM = 36

/** Shapley and leave-one-out values of each client, largest first; all are in the data. */
export function valuationFigure({ clients, method }: Valuation): Figure {
  const sorted = [...clients].sort((x, y) => y.shapley - x.shapley)
  const shown = sorted.length <= MOST ? sorted : [...sorted.slice(0, MOST / 2), ...sorted.slice(-MOST / 2)]
  const rows = shown.map((of, place) => ({ ...barsOf(of), place }))
  const sampled = method === 'sampled'
  const title = 'Value of each client'
  const told = shown.map(({ client, shapley }) => `${shorten(client, 20)} ${thousandths(shapley)}`)
  return {
    title,
    svg: draw(`${title}, Shapley, thousandths of a nat a token: ${told.join(', ')}`, {
      width: 400,
      height: BAND * rows.length + MARGIN_TOP + MARGIN_BOTTOM,
      marginTop: MARGIN_TOP,
      marginBottom: MARGIN_BOTTOM,
      marginLeft: 116,
      x: { label: 'thousandths of a nat a token', grid: true, ticks: 5, nice: true, zero: true },
      y: {
        label: null,
        domain: rows.map(({ place }) => place),
        tickFormat: (place: number) => rows[place]?.name ?? '',
        tickSize: 0,
        padding: 0,
      },
      marks: [
        Plot.barX(rows, { x: 'shapley', y: 'place', fill: colour(2), insetTop: 4, insetBottom: BAND / 2 + 1 }),
        Plot.barX(rows, { x: 'leaveOneOut', y: 'place', fill: colour(1), insetTop: BAND / 2, insetBottom: 4 }),
        Plot.ruleY(
          rows.filter((row): row is Required<typeof row> => row.low !== undefined),
          { x1: 'low', x2: 'high', y: 'place', dy: -BAND / 4 + 1.5, stroke: 'var(--ink)', strokeWidth: 1.5 },
        ),
        Plot.ruleY(
          rows.filter((row): row is Required<typeof row> => row.leftLow !== undefined),
          { x1: 'leftLow', x2: 'leftHigh', y: 'place', dy: BAND / 4 - 1.5, stroke: 'var(--ink)', strokeWidth: 1.5 },
        ),
        Plot.ruleX([0]),
      ],
    }),
    caption:
      `Upper bar: Shapley value, what a client lowers the held-out loss by, averaged over ${sampled ? 'sampled orders' : 'all orders'} of joining. ` +
      'Lower bar: leave-one-out, how much the loss rises without this client alone. Lines are 95 % intervals.' +
      (rows.length < sorted.length
        ? ` The best and worst ${MOST / 2} of ${sorted.length} clients; the data have all.`
        : ''),
    legend: [
      { name: 'Shapley', colour: 2 },
      { name: 'leave-one-out', colour: 1 },
    ],
    data: {
      head: [
        'client',
        'weight',
        'Shapley',
        '95 % interval',
        'leave-one-out',
        '95 % interval',
        'nearest other',
        'cosine',
      ],
      rows: sorted.map((of) => [
        of.client,
        of.weight.toFixed(3),
        thousandths(of.shapley),
        thousandthsRange(of.interval),
        thousandths(of.leaveOneOut),
        thousandthsRange(of.leaveOneOutInterval),
        of.nearest?.client ?? '–',
        of.nearest?.cosine.toFixed(3) ?? '–',
      ]),
    },
  }
}

function barsOf({ client, shapley, interval, leaveOneOut, leaveOneOutInterval: left }: ClientValue) {
  return {
    name: shorten(client, 18),
    shapley: 1000 * shapley,
    leaveOneOut: 1000 * leaveOneOut,
    ...(interval === undefined ? {} : { low: 1000 * interval[0], high: 1000 * interval[1] }),
    ...(left === undefined ? {} : { leftLow: 1000 * left[0], leftHigh: 1000 * left[1] }),
  }
}
