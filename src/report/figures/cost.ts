import * as Plot from '@observablehq/plot'
import type { Cost } from '../../diagnose/types.js'
import { printable } from '../escape.js'
import type { Figure } from '../html.js'
import { formatBytes, formatSeconds } from '../numbers.js'
import { colour, draw } from './draw.js'

const PARTS = [
  ['computeSeconds', 'computing', 2],
  ['linkSeconds', 'carrying', 1],
  ['waitSeconds', 'waiting', 0],
] as const

/** Seconds of one round and of several, over the given links, the slowest client waited for. */
export function costFigure(of: Cost): Figure | undefined {
  const parts = of.rows.flatMap((row) =>
    PARTS.flatMap(([key, part, index]) =>
      Number.isFinite(row[key]) ? [{ what: printable(row.what), part, seconds: row[key], fill: colour(index) }] : [],
    ),
  )
  if (parts.length === 0) return undefined
  const { upMbit, downMbit, spread } = of.links
  const title = 'Time of a federation'
  return {
    title,
    svg: draw(`${title} at ${upMbit} Mbit/s up and ${downMbit} Mbit/s down`, {
      height: 34 * of.rows.length + 56,
      marginLeft: 84,
      x: { label: 'seconds', grid: true, ticks: 5 },
      y: { label: null, domain: of.rows.map(({ what }) => printable(what)), tickSize: 0 },
      marks: [Plot.barX(parts, { x: 'seconds', y: 'what', fill: 'fill', insetTop: 4, insetBottom: 4 })],
    }),
    caption: `Links of ${upMbit} Mbit/s up and ${downMbit} Mbit/s down; clients' speeds spread by ${spread} (standard deviation of the logarithm). Computing: ${of.measured}.`,
    legend: PARTS.map(([, name, index]) => ({ name, colour: index })),
    open: true,
    data: {
      head: ['what', 'rounds', 'bytes up', 'bytes down', 'computing', 'carrying', 'waiting'],
      rows: of.rows.map((row) => [
        row.what,
        String(row.rounds),
        formatBytes(row.bytesUp),
        formatBytes(row.bytesDown),
        formatSeconds(row.computeSeconds),
        formatSeconds(row.linkSeconds),
        formatSeconds(row.waitSeconds),
      ]),
    },
  }
}
