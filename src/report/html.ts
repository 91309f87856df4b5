/** Pieces of the page. Every text is escaped here and nowhere else. */
import { escapeHtml } from './escape.js'

type Cell = string | { main: string; side: string }

/** A table that scrolls by itself where it is wider than the page, by keyboard too. */
export function table(
  caption: string,
  head: readonly string[],
  rows: readonly (readonly Cell[])[],
  o: { total?: boolean } = {},
): string {
  const cells = (row: readonly Cell[]) =>
    row.map((cell, at) => {
      if (at === 0) return `<th scope="row">${escapeHtml(String(cell))}</th>`
      if (typeof cell === 'string') return `<td>${escapeHtml(cell)}</td>`
      return `<td>${escapeHtml(cell.main)}<small>${escapeHtml(cell.side)}</small></td>`
    })
  const body = rows.map(
    (row, at) => `<tr${o.total && at === rows.length - 1 ? ' class="all"' : ''}>${cells(row).join('')}</tr>`,
  )
  const heading = head.map((name) => `<th scope="col">${escapeHtml(name)}</th>`).join('')
  return `<div class="wide" tabindex="0" role="region" aria-label="${escapeHtml(caption)}"><table><caption>${escapeHtml(caption)}</caption><thead><tr>${heading}</tr></thead><tbody>${body.join('')}</tbody></table></div>`
}

export interface Figure {
  title: string
  /** from draw() */
  svg: string
  /** what is shown, how to read it */
  caption: string
  /** the numbers behind it */
  data: { head: readonly string[]; rows: readonly (readonly string[])[] }
  /** series that colours stand for */
  legend?: readonly { name: string; colour: number }[] | undefined
  /** the numbers are read as often as the plot: they stand open */
  open?: boolean | undefined
}

/** A plot, what it means, and its numbers one click away. */
export function figure({ title, svg, caption, data, legend, open }: Figure): string {
  const numbers = table(`Data: ${title}`, data.head, data.rows)
  return (
    `<figure><h3>${escapeHtml(title)}</h3>${legend ? legendList(legend) : ''}${svg}` +
    `<figcaption>${escapeHtml(caption)}</figcaption><details${open ? ' open' : ''}><summary>Data: ${escapeHtml(title)}</summary>${numbers}</details></figure>`
  )
}

export function legendList(entries: readonly { name: string; colour: number }[]): string {
  const items = entries.map(({ name, colour }) => `<li><i class="s${colour % 8}"></i>${escapeHtml(name)}</li>`)
  return `<ul class="legend">${items.join('')}</ul>`
}

export function definitions(rows: readonly (readonly [string, string])[]): string {
  if (rows.length === 0) return ''
  return `<dl>${rows.map(([name, value]) => `<dt>${escapeHtml(name)}</dt><dd>${escapeHtml(value)}</dd>`).join('')}</dl>`
}

/** @param level of its heading */
export function section(title: string, parts: readonly string[], level: 2 | 3 = 2): string {
  const whole = parts.filter((part) => part !== '')
  const heading = `<h${level}>${escapeHtml(title)}</h${level}>`
  return whole.length === 0 ? '' : `<section>${heading}${whole.join('\n')}</section>`
}

export function paragraph(text: string, kind?: 'lede' | 'soft'): string {
  return `<p${kind === undefined ? '' : ` class="${kind}"`}>${escapeHtml(text).replaceAll(' %', '\u00a0%')}</p>`
}

export function list(items: readonly string[]): string {
  return items.length === 0
    ? ''
    : `<ul class="notes">${items.map((item) => `<li>${escapeHtml(item)}</li>`).join('')}</ul>`
}
