import type { Arm } from '../../federation/arms.js'
import { bytesFigure } from '../figures/bytes.js'
import { heldOutFigure } from '../figures/held-out.js'
import { figure, paragraph, section, table } from '../html.js'
import { formatBytes, formatLoss, formatPerplexity, formatSeconds } from '../numbers.js'
import { reading } from '../reading.js'
import { clientsOf, columnsOf, rowsOf, shareOfWay } from '../summary.js'

/** The comparison: what it says, every arm, and what each costs in bytes. */
export function armsSection(arms: readonly Arm[], colours: ReadonlyMap<string, number>): string {
  if (arms.length === 0)
    return paragraph('No arm of this run is finished yet. The curves below show how far it came.', 'lede')
  const bytes = bytesFigure(arms, colours)
  return section('Arms', [
    paragraph(reading(arms), 'lede'),
    figure(heldOutFigure(columnsOf(arms), colours)),
    armTable(arms),
    bytes === undefined ? '' : `<div class="pairs">${figure(bytes)}</div>`,
  ])
}

function armTable(arms: readonly Arm[]): string {
  const head = ['arm', 'held-out loss', 'perplexity', 'base → pooled', 'bytes up', 'bytes down', 'time']
  const rows = rowsOf(arms).map((row) => {
    const share = shareOfWay(arms, row.loss)
    return [
      row.title,
      formatLoss(row.loss),
      formatPerplexity(row.perplexity),
      share === undefined ? '–' : `${Math.round(share * 100)} %`,
      formatBytes(row.bytesUp),
      formatBytes(row.bytesDown),
      formatSeconds(row.seconds),
    ]
  })
  return table("Every arm on all clients' held-out text", head, rows)
}

/** Every client under every arm. */
export function clientsSection(arms: readonly Arm[]): string {
  const columns = columnsOf(arms)
  const clients = clientsOf(arms)
  if (clients.length === 0) return ''
  const cell = (score: { loss: number; perplexity: number } | undefined) =>
    score === undefined ? '–' : { main: formatLoss(score.loss), side: formatPerplexity(score.perplexity) }
  const rows = clients.map((client) => [client, ...columns.map((column) => cell(column.perClient.get(client)))])
  rows.push(['all', ...columns.map((column) => cell(column.overall))])
  const head = ['client', ...columns.map((column) => column.title)]
  return section('Clients', [
    table("Loss and, smaller, perplexity on each client's held-out part", head, rows, { total: true }),
  ])
}
