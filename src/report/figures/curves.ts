import * as Plot from '@observablehq/plot'
import { escapeHtml, printable } from '../escape.js'
import { legendList, table } from '../html.js'
import { formatCount, formatLoss } from '../numbers.js'
import { colour, draw } from './draw.js'

/** Losses of one client's training in one arm, over the whole horizon. */
export interface Curve {
  arm: string
  /** undefined: pooled training */
  client?: string | undefined
  /** x: optimizer steps since the arm began; y: mean loss of the step's trained tokens */
  points: { x: number; y: number }[]
}

type Point = Curve['points'][number]

/** points that are drawn: of one curve, and about of all together, so that many clients do not make a page of megabytes */
const MOST = 200
const MOST_OF_ALL = 20_000
/** fewest points of a curve, whatever the number of curves */
const LEAST = 20

/** One small plot a client, all with the same axes; pooled training has its own length, so its own horizontal axis. */
export function curvePanels(all: readonly Curve[], colourOf: (arm: string) => number): string {
  const most = Math.min(MOST, Math.max(LEAST, Math.floor(MOST_OF_ALL / Math.max(1, all.length))))
  const curves = all.map((curve) => ({ ...curve, points: thin(curve.points.filter(isFinitePoint), most) }))
  const drawn = curves.filter(({ points }) => points.length > 0)
  if (drawn.length === 0) return ''
  const y = extent(drawn.flatMap(({ points }) => points.map((point) => point.y)))
  const panels = new Map<string, Curve[]>()
  for (const curve of drawn) {
    const name = curve.client ?? 'pooled'
    panels.set(name, [...(panels.get(name) ?? []), curve])
  }
  const steps = extent(
    drawn.filter(({ client }) => client !== undefined).flatMap(({ points }) => points.map(({ x }) => x)),
  )
  const plots = [...panels].map(([name, some]) => {
    const own = some.every(({ client }) => client === undefined)
    const svg = draw(`Training loss of ${name}`, {
      width: 280,
      height: 170,
      x: { label: 'steps', ticks: 4, ...(own ? {} : { domain: steps }) },
      y: { label: null, ticks: 4, grid: true, domain: y },
      marks: some.map((curve) =>
        Plot.line(curve.points, { x: 'x', y: 'y', stroke: colour(colourOf(curve.arm)), strokeWidth: 1.6 }),
      ),
    })
    return `<figure><h3>${escapeHtml(name)}</h3>${svg}${dataOf(name, some)}</figure>`
  })
  const names = [...new Set(drawn.map(({ arm }) => arm))]
  return `${legendList(names.map((name) => ({ name: printable(name), colour: colourOf(name) })))}<div class="panels">${plots.join('')}</div>`
}

/** The drawn losses, a row a step and a column an arm. */
function dataOf(name: string, curves: readonly Curve[]): string {
  const title = `Data: training loss of ${name}`
  const losses = curves.map(({ points }) => new Map(points.map(({ x, y }) => [x, y])))
  const steps = [...new Set(losses.flatMap((of) => [...of.keys()]))].sort((x, y) => x - y)
  const rows = steps.map((step) => [
    Number.isInteger(step) ? formatCount(step) : step.toFixed(1),
    ...losses.map((of) => {
      const loss = of.get(step)
      return loss === undefined ? '–' : formatLoss(loss)
    }),
  ])
  const numbers = table(title, ['step', ...curves.map(({ arm }) => arm)], rows)
  return `<details><summary>${escapeHtml(title)}</summary>${numbers}</details>`
}

function isFinitePoint({ x, y }: Point): boolean {
  return Number.isFinite(x) && Number.isFinite(y)
}

function extent(values: readonly number[]): [number, number] {
  const least = values.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY)
  const most = values.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY)
  return least < most ? [least, most] : [least - 0.5, most + 0.5]
}

/** Long runs are drawn from means of equal groups; a mean hides no trend and keeps the page small. */
function thin(points: readonly Point[], most: number): Point[] {
  if (points.length <= most) return [...points]
  const size = Math.ceil(points.length / most)
  return Array.from({ length: Math.ceil(points.length / size) }, (_, group) => {
    const part = points.slice(group * size, (group + 1) * size)
    const mean = (of: (point: Point) => number) => part.reduce((sum, point) => sum + of(point), 0) / part.length
    return { x: mean(({ x }) => x), y: mean(({ y }) => y) }
  })
}
