import * as Plot from '@observablehq/plot'
import type { Similarity } from '../../diagnose/types.js'
import { printable, shorten } from '../escape.js'
import type { Figure } from '../html.js'
import { colour, draw } from './draw.js'

/** names that still can be told apart, and cosines that still can be read */
const MOST_NAMES = 24

/** Clients as points whose distances are as near as two dimensions allow to sqrt(2 - 2 cosine) of their updates. */
export function clientMapFigure(of: Similarity): Figure | undefined {
  const { compared, cosines } = of
  const n = compared.length
  if (n < 3) return undefined
  const cosine = symmetric(cosines, n)
  const places = scaling(cosine)
  const named = n <= MOST_NAMES ? compared : []
  const outliers = new Map(of.clients.map(({ client, outlier }) => [client, outlier]))
  const points = compared.map((client, i) => ({
    name: shorten(client, 20),
    x: places[i]?.[0] ?? 0,
    y: places[i]?.[1] ?? 0,
    outlier: outliers.get(client) !== undefined,
  }))
  const title = 'Map of clients'
  return {
    title,
    svg: draw(`${title}: ${n} clients, mean cosine ${of.meanCosine.toFixed(2)}`, {
      aspectRatio: 1,
      width: 360,
      height: 360,
      inset: 24,
      x: { axis: null },
      y: { axis: null },
      marks: [
        Plot.frame({ strokeOpacity: 0.2 }),
        Plot.dot(points, {
          x: 'x',
          y: 'y',
          r: 5,
          fill: ({ outlier }: { outlier: boolean }) => colour(outlier ? 5 : 2),
          symbol: ({ outlier }: { outlier: boolean }) => (outlier ? 'diamond' : 'circle'),
        }),
        ...(named.length > 0 ? [Plot.text(points, { x: 'x', y: 'y', text: 'name', dy: -11 })] : []),
      ],
      symbol: { type: 'identity' },
    }),
    caption:
      'The nearer two clients, the more alike their updates (cosines, by classical scaling). Diamonds: outliers.',
    data: {
      head: [
        'client',
        'cosine to the aggregate',
        'norm',
        'effective rank',
        'outlier',
        ...named.map((client) => `cosine to ${client}`),
      ],
      rows: of.clients.map(({ client, toAggregate, norm, effectiveRank, outlier }) => [
        client,
        toAggregate.toFixed(3),
        norm.toPrecision(3),
        effectiveRank.toFixed(1),
        outlier === undefined ? '' : printable(outlier),
        ...named.map((_, at) => cosine[compared.indexOf(client)]?.[at]?.toFixed(3) ?? '–'),
      ]),
    },
  }
}

/** Upper triangle by rows -> all pairs, ones on the diagonal. */
function symmetric(upper: readonly number[], n: number): number[][] {
  const full = Array.from({ length: n }, (_, i) => Array.from({ length: n }, (_, j) => (i === j ? 1 : 0)))
  let at = 0
  for (let i = 0; i < n; i++)
    for (let j = i + 1; j < n; j++) {
      const value = upper[at++] ?? 0
      ;(full[i] as number[])[j] = value
      ;(full[j] as number[])[i] = value
    }
  return full
}

/**
 * Classical multidimensional scaling (Torgerson 1952) of d^2 = 2 - 2 cosine: the doubly centred cosines' two largest
 * eigenvectors, by power iteration from a fixed start, each with its largest entry positive.
 */
function scaling(cosine: readonly (readonly number[])[]): [number, number][] {
  const n = cosine.length
  const rowMeans = cosine.map((row) => row.reduce((sum, value) => sum + value, 0) / n)
  const mean = rowMeans.reduce((sum, value) => sum + value, 0) / n
  const centred = cosine.map((row, i) => row.map((value, j) => value - (rowMeans[i] ?? 0) - (rowMeans[j] ?? 0) + mean))
  const first = strongest(centred)
  const rest = centred.map((row, i) =>
    row.map((value, j) => value - first.value * (first.vector[i] ?? 0) * (first.vector[j] ?? 0)),
  )
  const second = strongest(rest)
  const scaled = ({ value, vector }: { value: number; vector: number[] }, i: number) =>
    Math.sqrt(Math.max(0, value)) * (vector[i] ?? 0)
  return cosine.map((_, i) => [scaled(first, i), scaled(second, i)])
}

function strongest(matrix: readonly (readonly number[])[]): { value: number; vector: number[] } {
  let vector = matrix.map((_, i) => Math.sin(1 + i))
  let value = 0
  for (let iteration = 0; iteration < 200; iteration++) {
    const product = matrix.map((row) => row.reduce((sum, entry, j) => sum + entry * (vector[j] ?? 0), 0))
    value = Math.hypot(...product)
    if (!(value > 0)) return { value: 0, vector: vector.map(() => 0) }
    vector = product.map((entry) => entry / value)
  }
  const largest = vector.reduce((best, entry) => (Math.abs(entry) > Math.abs(best) ? entry : best), 0)
  return { value, vector: largest < 0 ? vector.map((entry) => -entry) : vector }
}
