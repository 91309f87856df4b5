/** The one door to the plot library: an SVG as text, made without a browser. */
import * as Plot from '@observablehq/plot'
import { parseHTML } from 'linkedom'
import { escapeHtml, printable } from '../escape.js'

/** Wide enough for two beside each other, narrow enough to be read on a phone without zooming. */
const WIDTH = 440
const HEIGHT = 250

/**
 * Colours of series, by their place in the page's style sheet, which has one set for light and one for dark.
 * A page has fewer series than colours or tells them apart by place: nothing is told by colour alone.
 */
export const colour = (index: number): string => `var(--s${index % 8})`

const { document } = parseHTML('<html></html>')

/** A plot as SVG text; the same options give the same text. @param title its text alternative */
export function draw(title: string, options: Omit<Plot.PlotOptions, 'document' | 'className' | 'ariaLabel'>): string {
  const svg: {
    outerHTML: string
    querySelectorAll(tag: string): Iterable<{ remove(): void }>
  } = Plot.plot({
    width: WIDTH,
    height: HEIGHT,
    marginLeft: 52,
    marginBottom: 36,
    className: 'plot',
    style: { background: 'transparent', fontSize: '11px' },
    ...options,
    document: document as NonNullable<Plot.PlotOptions['document']>,
  })
  for (const style of svg.querySelectorAll('style')) style.remove()
  // A tenth of a pixel is below what can be seen; whole doubles would be most of the page. Texts keep their digits.
  const round = (number: string) => String(Math.round(Number(number) * 10) / 10)
  const text = svg.outerHTML.replace(/<[^>]*>/g, (tag: string) => tag.replace(/-?\d+\.\d{2,}/g, round))
  // The title holds names of strangers: it goes in here and not through the library, which leaves < in attributes.
  // Its parts have names for screen readers there, which the standard allows only with a role; the whole has a name.
  return text
    .replace(/ aria-label="[^"]*"/g, '')
    .replace('<svg', () => `<svg role="img" aria-label="${escapeHtml(title)}"`)
}

/** `q_proj`, `0` of `model.layers.0.self_attn.q_proj`; undefined where a name has no block. */
export function placeOfLayer(name: string): { part: string; block: number } | undefined {
  const found = /\.(\d+)\.(?:.*\.)?([^.]+?)(?:\.weight)?$/.exec(name.replace(/\.weight$/, ''))
  return found ? { block: Number(found[1]), part: printable(found[2] ?? '') } : undefined
}

/** Ticks of steps and blocks: between whole ones there is nothing. */
export function wholeOnly(value: number): string {
  return Number.isInteger(value) ? String(value) : ''
}
