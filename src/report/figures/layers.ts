import * as Plot from '@observablehq/plot'
import type { Figure } from '../html.js'
import { colour, draw, placeOfLayer, wholeOnly } from './draw.js'

/** A number of every layer, by block, one line a kind of layer. */
export function layersFigure(
  title: string,
  label: string,
  caption: string,
  layers: readonly { name: string; value: number }[],
): Figure | undefined {
  const placed = layers.flatMap(({ name, value }) => {
    const place = placeOfLayer(name)
    return place !== undefined && Number.isFinite(value) ? [{ ...place, name, value }] : []
  })
  if (placed.length === 0) return undefined
  const parts = [...new Set(placed.map(({ part }) => part))]
  const most = placed.reduce((best, one) => (one.value > best.value ? one : best))
  return {
    title,
    svg: draw(`${title}: largest ${most.value.toPrecision(3)} at ${most.name}`, {
      x: { label: 'block', tickFormat: wholeOnly },
      y: { label, grid: true, zero: true },
      marks: parts.map((part, index) =>
        Plot.line(
          placed.filter((one) => one.part === part),
          { x: 'block', y: 'value', stroke: colour(index), marker: 'circle', strokeWidth: 1.4, sort: 'block' },
        ),
      ),
    }),
    caption,
    legend: parts.map((name, index) => ({ name, colour: index })),
    data: { head: ['layer', label], rows: placed.map(({ name, value }) => [name, value.toPrecision(3)]) },
  }
}
