/** A diagnosis as a terminal tells it: the verdict first, what carries it, what is unknown and why; under 40 lines. */
import { type Diagnosis, isKnown, type Known } from '../diagnose/types.js'
import type { Valuation } from '../valuation/valuation.js'
import { printable, shorten } from './escape.js'
import { thousandths, thousandthsRange } from './numbers.js'
import { paragraph, textTable } from './table.js'
import type { Valued } from './valued.js'

const digits = (value: number) =>
  Math.abs(value) >= 1e5 || (value !== 0 && Math.abs(value) < 1e-3) ? value.toExponential(2) : value.toPrecision(3)
const share = (value: number) => `${(100 * value).toPrecision(3)} %`

/** Lines of one measurement; an unknown one gives its reason. */
function told<T extends object>(name: string, value: Known<T>, tell: (known: T) => string): [string, string] {
  return [name, isKnown(value) ? tell(value) : `unknown: ${value.unknown}`]
}

/** @param valued what the run's clients are worth, where that was looked at */
export function storyOf(d: Diagnosis, valued?: Valued): string {
  const { verdict } = d
  const lines = [paragraph(verdict.sentence)]
  for (const { reason, enough } of verdict.missing.slice(0, 3))
    lines.push(paragraph(`- ${reason}; enough would be: ${enough}`))
  if (verdict.wouldChange.length > 0)
    lines.push(paragraph(`Would change it: ${verdict.wouldChange.slice(0, 4).join('; ')}.`))
  const confidence = verdict.confidence === undefined ? '' : `, confidence ${share(verdict.confidence)}`
  lines.push(
    '',
    `Evidence: ${d.evidence}${confidence}; ${d.plan.clients} clients, ${d.plan.rounds} x ${d.plan.epochs} epochs, ${d.plan.optimizer} at ${d.plan.learningRate}`,
    '',
  )
  const rows = [...measurements(d), ...(valued === undefined ? [] : valuesOf(valued))].map(([name, text]) => [
    name,
    shorten(text, 110),
  ])
  const width = Math.max(...rows.map(([name]) => (name ?? '').length))
  for (const [name, text] of rows) lines.push(`${(name ?? '').padEnd(width)}  ${text}`)
  if (isKnown(d.cost)) {
    const { links } = d.cost
    lines.push('', `At ${links.upMbit} Mbit/s up, ${links.downMbit} down, spread ${links.spread} (${d.cost.measured}):`)
    lines.push(
      textTable(
        ['arm', 'up', 'down', 'compute', 'carry', 'wait'],
        d.cost.rows.map((row) => [
          row.what,
          megabytes(row.bytesUp),
          megabytes(row.bytesDown),
          seconds(row.computeSeconds),
          seconds(row.linkSeconds),
          seconds(row.waitSeconds),
        ]),
      ),
    )
  }
  if (d.spent.rows > 0) {
    lines.push(
      '',
      `Cost of this diagnosis: ${share(d.spent.share)} of the training it is about (asked: ${share(d.spent.limit)}).`,
    )
    if (d.spent.unsettled.length > 0) lines.push(paragraph(`Not settled: ${d.spent.unsettled.join('; ')}.`))
  }
  for (const note of d.notes.slice(0, 2)) lines.push(paragraph(note))
  return lines
    .flatMap((line) => line.split('\n'))
    .slice(0, 38)
    .map(printable)
    .join('\n')
}

function measurements(d: Diagnosis): [string, string][] {
  return [
    told(
      'one against several',
      d.comparison,
      (c) =>
        `${c.one} - ${c.several}: ${digits(c.difference)} nats (${digits(c.interval.low)} to ${digits(c.interval.high)}), margin ${digits(c.margin)}; ${c.items} items, ${c.seeds.length} seeds`,
    ),
    told(
      'best against best',
      d.best,
      (b) =>
        `${b.one.arm} at ${b.one.learningRate} against ${b.several.arm} at ${b.several.learningRate}: ${digits(b.difference)} (${digits(b.interval.low)} to ${digits(b.interval.high)}) on ${b.testItems} test items`,
    ),
    told(
      'travel tau',
      d.travel,
      (t) =>
        `${digits(t.tau)} (${t.of.what}${t.of.steps === undefined ? '' : `, ${t.of.steps} of ${t.of.ofSteps} steps`})`,
    ),
    told('smoothness L', d.smoothness, (s) =>
      ['ends', 'neighbours', 'random']
        .flatMap((kind) => {
          const found = s[kind as 'ends' | 'neighbours' | 'random']
          return found === undefined
            ? []
            : [
                `${kind} ${digits(found.mean)}${found.interval ? ` (${digits(found.interval.low)} to ${digits(found.interval.high)})` : ''}`,
              ]
        })
        .join(', '),
    ),
    told(
      'gradient turn',
      d.curvature,
      (c) =>
        `${digits(c.turn.mean)} of the gradient, cosine ${digits(c.alignment.mean)}; curvature along the path ${digits(c.alongPath.mean)}${c.strongest ? `, strongest ${digits(c.strongest.value)}` : ''}`,
    ),
    told('clients disagree', d.disagreement, (g) => `${digits(g.value)} at the base`),
    told(
      'updates',
      d.similarity,
      (s) =>
        `mean cosine ${digits(s.meanCosine)}, ${digits(s.retention)} of their length stays in the mean, effective rank ${digits(s.effectiveRank)}${outliers(s.clients)}`,
    ),
    told(
      'measured gap',
      d.gap,
      (g) => `||w(${g.several}) - w(${g.one})|| = ${digits(g.epsilon)}, ${share(g.relative)} of the way`,
    ),
    told(
      'bounds',
      d.bounds,
      (b) =>
        `published ${digits(b.published)}, re-derived ${digits(b.rederived)}${b.holds ? '' : ' (about SGD: heuristics here)'}`,
    ),
    told(
      'lambda',
      d.lambda,
      (l) =>
        `best ${digits(l.best.lambda)}: ${digits(l.best.test ?? l.best.validation)} nats${l.atOne === undefined ? '' : `, at 1: ${digits(l.atOne.test)}`}${l.perLayer === undefined ? '' : `, a layer each: ${digits(l.perLayer.test)}`}`,
    ),
  ]
}

/** Who is worth most and least, and whom the rules point at. */
function valuesOf({ arm, valuation }: Valued): [string, string][] {
  const sorted = [...valuation.clients].sort((x, y) => y.shapley - x.shapley)
  const ends = sorted.length === 1 ? sorted : [sorted[0], sorted.at(-1)]
  const gain = thousandths(valuation.baseLoss - valuation.loss)
  const found = valuation.findings.map(({ rule, clients }) => `${rule}: ${clients.join(' and ')}`)
  return [
    ["clients' values", `${ends.map(shapleyOf).join(' to ')} of ${gain} thousandths of a nat (Shapley, ${arm})`],
    ...(found.length === 0 ? [] : [['clients to look at', found.join('; ')] as [string, string]]),
  ]
}

function shapleyOf(of: Valuation['clients'][number] | undefined): string {
  if (of === undefined) return ''
  const interval = of.interval === undefined ? '' : ` (${thousandthsRange(of.interval)})`
  return `${shorten(of.client, 16)} ${thousandths(of.shapley)}${interval}`
}

function outliers(clients: readonly { client: string; outlier?: string }[]): string {
  const found = clients.filter((client) => client.outlier !== undefined)
  return found.length === 0
    ? ''
    : `; ${found
        .slice(0, 2)
        .map((one) => `${one.client}: ${one.outlier}`)
        .join(', ')}`
}

const megabytes = (bytes: number) => `${(bytes / 1e6).toPrecision(3)} MB`
const seconds = (value: number) => `${value.toPrecision(3)} s`
