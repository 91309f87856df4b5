import type { Arm } from '../federation/arms.js'
import { printable, shorten } from './escape.js'
import { formatBytes, formatLoss, formatPerplexity, formatSeconds } from './numbers.js'
import { clientsOf, columnsOf, rowsOf } from './summary.js'

/** Text tables of a comparison: first the arms, then every client under every arm. No line is wider than `width`. */
export function armsTable(arms: readonly Arm[], width = 100): string {
  const rows = rowsOf(arms).map((row) => [
    shorten(row.title, 32),
    formatLoss(row.loss),
    formatPerplexity(row.perplexity),
    formatBytes(row.bytesUp),
    formatBytes(row.bytesDown),
    formatSeconds(row.seconds),
  ])
  const blocks = [textTable(['arm', 'held-out loss', 'perplexity', 'up', 'down', 'time'], rows)]
  if (clientsOf(arms).length > 0) blocks.push(...clientBlocks(arms, width))
  return blocks.join('\n\n')
}

/** Clients as rows, arms as columns, `loss (perplexity)` in each cell; arms that do not fit go to a further block. */
function clientBlocks(arms: readonly Arm[], width: number): string[] {
  const columns = columnsOf(arms)
  const clients = clientsOf(arms)
  const cell = (score: { loss: number; perplexity: number } | undefined) =>
    score === undefined ? '–' : `${formatLoss(score.loss)} (${formatPerplexity(score.perplexity)})`
  const cells = columns.map((column) => [
    printable(column.title),
    ...clients.map((client) => cell(column.perClient.get(client))),
    cell(column.overall),
  ])
  const names = ['client', ...clients.map((client) => shorten(client, 24)), 'all']
  const nameWidth = Math.max(...names.map(length))
  const blocks: string[] = []
  let group: string[][] = []
  let used = nameWidth
  const flush = () => {
    if (group.length === 0) return
    const rows = names.slice(1).map((name, row) => [name, ...group.map((column) => column[row + 1] ?? '')])
    const heading = blocks.length === 0 ? "loss (perplexity) on each client's held-out part" : '… further arms'
    blocks.push(`${heading}\n${textTable(['client', ...group.map((column) => column[0] ?? '')], rows)}`)
    group = []
    used = nameWidth
  }
  for (const column of cells) {
    const columnWidth = Math.max(...column.map(length)) + 2
    if (used + columnWidth > width) flush()
    group.push(column)
    used += columnWidth
  }
  flush()
  return blocks
}

/** First column to the left, all others to the right, two spaces between, a rule under the heading. */
export function textTable(heading: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [heading, ...rows]
  const widths = heading.map((_, column) => Math.max(...all.map((row) => length(row[column] ?? ''))))
  const line = (row: readonly string[]) =>
    widths
      .map((width, column) => {
        const text = row[column] ?? ''
        const space = ' '.repeat(width - length(text))
        return column === 0 ? text + space : space + text
      })
      .join('  ')
      .trimEnd()
  const rule = '─'.repeat(widths.reduce((sum, width) => sum + width + 2, -2))
  return [line(heading), rule, ...rows.map(line)].join('\n')
}

/** A sentence in lines of at most `width` characters, broken at spaces. */
export function paragraph(text: string, width = 100): string {
  const lines: string[] = []
  for (const word of text.split(' ')) {
    const line = lines.at(-1)
    if (line !== undefined && length(line) + 1 + length(word) <= width) lines[lines.length - 1] = `${line} ${word}`
    else lines.push(word)
  }
  return lines.join('\n')
}

function length(text: string): number {
  return [...text].length
}
