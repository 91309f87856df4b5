import * as Plot from '@observablehq/plot'
import type { Gap, LambdaCurve, Travel } from '../../diagnose/types.js'
import type { Figure } from '../html.js'
import { formatLoss } from '../numbers.js'
import { colour, draw, wholeOnly } from './draw.js'

/** Held-out loss along base + lambda dW*, with lambda 1 and the fitted one. */
export function lambdaFigure(of: LambdaCurve): Figure {
  const points = [...of.points].sort((x, y) => x.lambda - y.lambda)
  const tested = points.filter((point): point is Required<typeof point> => point.test !== undefined)
  const title = 'Loss along lambda'
  return {
    title,
    svg: draw(`${title}: best on the validation part at lambda ${of.best.lambda}`, {
      x: { label: 'lambda', ticks: 6 },
      y: { label: 'held-out loss', grid: true, nice: true },
      marks: [
        Plot.ruleX([1], { strokeDasharray: '2 3' }),
        Plot.line(points, { x: 'lambda', y: 'validation', stroke: colour(2), marker: 'circle' }),
        Plot.line(tested, { x: 'lambda', y: 'test', stroke: colour(1), marker: 'circle' }),
        Plot.dot([of.best], { x: 'lambda', y: 'validation', r: 6, stroke: colour(2), strokeWidth: 2 }),
      ],
    }),
    caption: `The aggregate times lambda; dotted: lambda 1. The ring is the lambda fitted on the validation part${of.best.test === undefined ? '' : `; on the test part it has loss ${formatLoss(of.best.test)}`}.`,
    legend: [{ name: 'validation', colour: 2 }, ...(tested.length > 0 ? [{ name: 'test', colour: 1 }] : [])],
    data: {
      head: ['lambda', 'validation', 'test'],
      rows: points.map(({ lambda, validation, test }) => [
        String(lambda),
        formatLoss(validation),
        test === undefined ? '–' : formatLoss(test),
      ]),
    },
  }
}

/** How far a client is from the base after each step. */
export function travelFigure(of: Travel): Figure | undefined {
  const path = of.path.filter(({ tau }) => Number.isFinite(tau))
  if (path.length < 2) return undefined
  const title = 'Travel tau over training'
  return {
    title,
    svg: draw(`${title}: ${path.at(-1)?.tau.toPrecision(3)} after ${path.at(-1)?.step} steps`, {
      x: { label: 'steps', tickFormat: wholeOnly },
      y: { label: 'tau', grid: true, zero: true },
      marks: [Plot.line(path, { x: 'step', y: 'tau', stroke: colour(2), marker: 'circle' })],
    }),
    caption: `||w − w0|| / ||w0|| over merged weights, of ${of.of.what}.`,
    data: { head: ['steps', 'tau'], rows: path.map(({ step, tau }) => [String(step), tau.toExponential(3)]) },
  }
}

/** Held-out loss on the straight line from the one-round result to the several-round one. */
export function gapFigure(of: Gap): Figure | undefined {
  const line = (of.line ?? []).filter(({ loss }) => Number.isFinite(loss))
  if (line.length < 2) return undefined
  const title = `From ${of.one} to ${of.several}`
  return {
    title,
    svg: draw(`${title}: held-out loss ${line.map(({ loss }) => formatLoss(loss)).join(', ')}`, {
      x: { label: `0: ${of.one}, 1: ${of.several}` },
      y: { label: 'held-out loss', grid: true, nice: true },
      marks: [Plot.line(line, { x: 't', y: 'loss', stroke: colour(2), marker: 'circle' })],
    }),
    caption: `The two results are ${of.epsilon.toPrecision(3)} apart, ${(of.relative * 100).toFixed(0)} % of the way that one round went. What that distance does to the loss:`,
    data: { head: ['place', 'held-out loss'], rows: line.map(({ t, loss }) => [String(t), formatLoss(loss)]) },
  }
}
