import * as Plot from '@observablehq/plot'
import { printable } from '../escape.js'
import type { Figure } from '../html.js'
import { formatLoss } from '../numbers.js'
import type { Column } from '../summary.js'
import { colour, draw } from './draw.js'

/** Every arm's held-out loss: a dot over all clients, a tick for each client. */
export function heldOutFigure(columns: readonly Column[], colours: ReadonlyMap<string, number>): Figure {
  const rows = columns.map(({ title, overall, perClient }) => ({ arm: printable(title), title, overall, perClient }))
  const stroke = (title: string) => colour(colours.get(title) ?? 0)
  const dots = rows
    .filter(({ overall }) => Number.isFinite(overall.loss))
    .map(({ arm, title, overall }) => ({ arm, loss: overall.loss, stroke: stroke(title) }))
  const ticks = rows.flatMap(({ arm, title, perClient }) =>
    [...perClient]
      .filter(([, score]) => Number.isFinite(score.loss))
      .map(([client, score]) => ({
        arm,
        loss: score.loss,
        stroke: stroke(title),
        label: `${printable(client)}: ${formatLoss(score.loss)}`,
      })),
  )
  const title = 'Held-out loss of each arm'
  const svg = draw(`${title}: ${dots.map(({ arm, loss }) => `${arm} ${formatLoss(loss)}`).join(', ')}`, {
    width: 420,
    height: 34 * rows.length + 50,
    marginLeft: 84,
    x: { label: 'nats a token, lower is better', grid: true, ticks: 6 },
    y: { label: null, domain: rows.map(({ arm }) => arm), tickSize: 0 },
    marks: [
      Plot.tickX(ticks, { x: 'loss', y: 'arm', stroke: 'stroke', strokeOpacity: 0.55, inset: 6, title: 'label' }),
      Plot.dot(dots, {
        x: 'loss',
        y: 'arm',
        fill: 'stroke',
        r: 5,
        title: ({ loss }: { loss: number }) => formatLoss(loss),
      }),
    ],
  })
  return {
    title,
    svg,
    caption:
      "The dot is all clients' held-out text, each tick one client's; alone is each client's own adapter on its own text.",
    data: {
      head: ['arm', 'held-out text of', 'loss'],
      rows: rows.flatMap(({ title: arm, overall, perClient }) => [
        [arm, 'all clients', formatLoss(overall.loss)],
        ...[...perClient].map(([client, score]) => [arm, client, formatLoss(score.loss)]),
      ]),
    },
  }
}
