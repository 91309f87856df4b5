import { escapeHtml } from './escape.js'

/** Plain SVG text, made without a DOM. Colours are classes (`s0`..`s7`), so that the page's light and dark sheets decide. */

export interface Series {
  name: string
  /** class index of the colour, 0-7 */
  colour: number
  /** finite points, x ascending */
  points: readonly { x: number; y: number }[]
}

export interface Domain {
  min: number
  max: number
}

/** Round numbers inside a domain, about `count` of them. */
export function ticks(domain: Domain, count: number): number[] {
  const span = domain.max - domain.min
  if (!(span > 0) || !Number.isFinite(span)) return Number.isFinite(domain.min) ? [domain.min] : []
  const raw = span / count
  const power = 10 ** Math.floor(Math.log10(raw))
  const step = power * ([1, 2, 5, 10].find((m) => m * power >= raw) ?? 10)
  const out: number[] = []
  for (let i = Math.ceil(domain.min / step - 1e-9); i * step <= domain.max + step * 1e-9; i += 1) {
    out.push(Number((i * step).toPrecision(12)))
  }
  return out
}

/** The domain of all finite values, with a little air; a single value gets a unit around it. */
export function domainOf(values: Iterable<number>): Domain {
  let min = Number.POSITIVE_INFINITY
  let max = Number.NEGATIVE_INFINITY
  for (const value of values) {
    if (!Number.isFinite(value)) continue
    if (value < min) min = value
    if (value > max) max = value
  }
  if (min > max) return { min: 0, max: 1 }
  const air = max > min ? (max - min) * 0.05 : 0.5
  return { min: min - air, max: max + air }
}

/** A small line chart. Both domains are given, so that several charts side by side share their axes. */
export function lineChart(o: { title: string; series: readonly Series[]; x: Domain; y: Domain }): string {
  const width = 264
  const height = 150
  const left = 34
  const right = 8
  const top = 8
  const bottom = 22
  const px = place(o.x, left, width - right)
  const py = place(o.y, height - bottom, top)
  const parts: string[] = []
  for (const tick of ticks(o.y, 4)) {
    const y = py(tick)
    parts.push(`<line class="grid" x1="${left}" x2="${width - right}" y1="${y}" y2="${y}"/>`)
    parts.push(`<text class="tick" x="${left - 5}" y="${y}" dy="0.32em" text-anchor="end">${label(tick)}</text>`)
  }
  for (const tick of ticks(o.x, 4)) {
    parts.push(`<text class="tick" x="${px(tick)}" y="${height - 6}" text-anchor="middle">${label(tick)}</text>`)
  }
  for (const series of o.series) {
    const points = thin(
      series.points.filter((p) => Number.isFinite(p.x) && Number.isFinite(p.y)),
      240,
    )
    const path = points.map((p, i) => `${i === 0 ? 'M' : 'L'}${px(p.x)} ${py(p.y)}`).join('')
    const name = `<title>${escapeHtml(series.name)}</title>`
    const only = points[0]
    if (points.length === 1 && only !== undefined) {
      parts.push(`<circle class="s${series.colour} dot" cx="${px(only.x)}" cy="${py(only.y)}" r="2">${name}</circle>`)
    } else if (points.length > 1) parts.push(`<path class="s${series.colour} line" d="${path}">${name}</path>`)
  }
  return svg(width, height, o.title, parts)
}

/** One row an arm: a dot for the loss over all clients, a tick for each client, and the axis below. */
export function stripChart(o: {
  title: string
  rows: readonly { name: string; colour: number; overall: number; clients: readonly { name: string; loss: number }[] }[]
}): string {
  const width = 720
  const rowHeight = 30
  const left = 84
  const right = 18
  const height = o.rows.length * rowHeight + 34
  const domain = domainOf(o.rows.flatMap((row) => [row.overall, ...row.clients.map((client) => client.loss)]))
  const px = place(domain, left, width - right)
  const parts: string[] = []
  for (const tick of ticks(domain, 8)) {
    parts.push(`<line class="grid" x1="${px(tick)}" x2="${px(tick)}" y1="4" y2="${height - 28}"/>`)
    parts.push(`<text class="tick" x="${px(tick)}" y="${height - 12}" text-anchor="middle">${label(tick)}</text>`)
  }
  o.rows.forEach((row, index) => {
    const y = index * rowHeight + rowHeight / 2 + 4
    parts.push(
      `<text class="name" x="${left - 12}" y="${y}" dy="0.34em" text-anchor="end">${escapeHtml(row.name)}</text>`,
    )
    for (const client of row.clients) {
      if (!Number.isFinite(client.loss)) continue
      const x = px(client.loss)
      const title = `<title>${escapeHtml(`${client.name}: ${client.loss.toFixed(3)}`)}</title>`
      parts.push(`<line class="s${row.colour} client" x1="${x}" x2="${x}" y1="${y - 7}" y2="${y + 7}">${title}</line>`)
    }
    if (Number.isFinite(row.overall)) {
      const title = `<title>${escapeHtml(`${row.name}, all clients: ${row.overall.toFixed(3)}`)}</title>`
      parts.push(`<circle class="s${row.colour} dot" cx="${px(row.overall)}" cy="${y}" r="6">${title}</circle>`)
    }
  })
  return svg(width, height, o.title, parts)
}

function svg(width: number, height: number, title: string, parts: readonly string[]): string {
  const name = escapeHtml(title)
  return `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${name}">${parts.join('')}</svg>`
}

function place(domain: Domain, from: number, to: number): (value: number) => number {
  const span = domain.max - domain.min
  return (value) => Math.round((from + (span > 0 ? (value - domain.min) / span : 0.5) * (to - from)) * 10) / 10
}

function label(value: number): string {
  return escapeHtml(String(Number(value.toPrecision(6))))
}

/** Long runs are drawn from means of equal groups; a mean hides no trend and keeps the page small. */
function thin(points: readonly { x: number; y: number }[], most: number): { x: number; y: number }[] {
  if (points.length <= most) return [...points]
  const group = Math.ceil(points.length / most)
  const out: { x: number; y: number }[] = []
  for (let at = 0; at < points.length; at += group) {
    const part = points.slice(at, at + group)
    const mean = (of: (p: { x: number; y: number }) => number) => part.reduce((sum, p) => sum + of(p), 0) / part.length
    out.push({ x: mean((p) => p.x), y: mean((p) => p.y) })
  }
  return out
}
