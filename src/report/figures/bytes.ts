import * as Plot from '@observablehq/plot'
import { type Arm, shapeOf } from '../../federation/arms.js'
import { printable } from '../escape.js'
import type { Figure } from '../html.js'
import { formatBytes, formatLoss } from '../numbers.js'
import { colour, draw } from './draw.js'

/** What an arm's loss costs in bytes; base and pooled, which no federation sends for, are levels. */
export function bytesFigure(arms: readonly Arm[], colours: ReadonlyMap<string, number>): Figure | undefined {
  const finite = arms.filter(({ name, overall }) => name !== 'client' && Number.isFinite(overall.loss))
  const sent = finite
    .filter(({ name, bytesUp }) => shapeOf(name) !== undefined && bytesUp > 0)
    .map(({ name, overall, bytesUp, bytesDown }) => ({
      arm: printable(name),
      loss: overall.loss,
      up: bytesUp,
      down: bytesDown,
      bytes: bytesUp + bytesDown,
      fill: colour(colours.get(name) ?? 0),
    }))
  if (sent.length === 0) return undefined
  const levels = finite
    .filter(({ name }) => name === 'base' || name === 'pooled')
    .map(({ name, overall }) => ({ arm: name, loss: overall.loss, stroke: colour(colours.get(name) ?? 0) }))
  const most = Math.max(...sent.map(({ bytes }) => bytes))
  const title = 'Loss against bytes'
  const told = sent.map(({ arm, loss, bytes }) => `${arm} ${formatLoss(loss)} for ${formatBytes(bytes)}`)
  return {
    title,
    svg: draw(`${title}: ${told.join(', ')}`, {
      x: {
        label: 'bytes up and down, all clients and rounds',
        domain: [0, most * 1.2],
        ticks: 4,
        tickFormat: formatBytes,
      },
      y: { label: 'held-out loss', grid: true, nice: true },
      marks: [
        Plot.ruleY(levels, { y: 'loss', stroke: 'stroke', strokeDasharray: '4 3' }),
        Plot.text(levels, { y: 'loss', text: 'arm', frameAnchor: 'right', textAnchor: 'end', dy: -8, fill: 'stroke' }),
        Plot.dot(sent, { x: 'bytes', y: 'loss', r: 5, fill: 'fill' }),
        Plot.text(sent, { x: 'bytes', y: 'loss', text: 'arm', dy: -12 }),
      ],
    }),
    caption: 'Down and to the left is better. Dashed: the base, and training on all data in one place.',
    data: {
      head: ['arm', 'held-out loss', 'bytes up', 'bytes down'],
      rows: [
        ...levels.map(({ arm, loss }) => [arm, formatLoss(loss), '–', '–']),
        ...sent.map(({ arm, loss, up, down }) => [arm, formatLoss(loss), formatBytes(up), formatBytes(down)]),
      ],
    },
  }
}
