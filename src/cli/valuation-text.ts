import type { ValuedRun } from '../federation/value-run.js'
import { shorten } from '../report/escape.js'
import { formatCount, formatLoss, thousandths, thousandthsRange } from '../report/numbers.js'
import { paragraph, textTable } from '../report/table.js'
import type { Valuation } from '../valuation/valuation.js'

/** Clients and findings that a terminal shows; the file has all. */
const mostClients = 16
const mostFindings = 6

/** What `value` prints: under 40 lines, whatever the number of clients. */
export function valuationText({ valuation, arm, file, own }: ValuedRun): string {
  const { baseLoss, loss, data } = valuation
  const from = own.length === 0 ? '' : `; of ${own.length} clients' own data only the held-out part`
  return [
    `${arm}, round ${valuation.round}: loss ${formatLoss(baseLoss)} -> ${formatLoss(loss)} over ${formatCount(data.tokens)} tokens${from}`,
    madeOf(valuation),
    '',
    table(valuation),
    ...findings(valuation),
    ...valuation.learned.map(learnedText),
    `written to ${file}`,
  ].join('\n')
}

function madeOf({ method, samples, evaluations }: Valuation): string {
  const how = method === 'exact' ? 'exact' : `${samples} sampled orders`
  return `Shapley values, ${how}, from ${formatCount(evaluations)} coalitions; thousandths of a nat a token, 95 % intervals`
}

function table({ clients }: Valuation): string {
  const sorted = [...clients].sort((a, b) => b.shapley - a.shapley)
  const shown =
    sorted.length <= mostClients ? sorted : [...sorted.slice(0, mostClients / 2), ...sorted.slice(-mostClients / 2)]
  const rows = shown.map(({ client, weight, shapley, interval, leaveOneOut, leaveOneOutInterval: around, nearest }) => [
    shorten(client, 24),
    weight.toFixed(3),
    thousandths(shapley),
    thousandthsRange(interval),
    around === undefined
      ? thousandths(leaveOneOut)
      : `${thousandths(leaveOneOut)} ± ${thousandths(around[1] - leaveOneOut)}`,
    nearest === undefined ? '–' : `${shorten(nearest.client, 16)} ${nearest.cosine.toFixed(3)}`,
  ])
  const text = textTable(['client', 'weight', 'Shapley', 'interval', 'leave-one-out', 'nearest, cosine'], rows)
  const left = sorted.length - shown.length
  return left === 0 ? text : `${text}\n… the best and worst ${mostClients / 2}; ${left} more in the file`
}

function findings({ findings: all }: Valuation): string[] {
  if (all.length === 0) return []
  const shown = all.slice(0, mostFindings).map(({ rule, text }) => `${rule}: ${text}`)
  const left = all.length - shown.length
  return ['', ...shown, ...(left === 0 ? [] : [`… ${left} more in the file`])]
}

function learnedText({ kind, weights, lambda, test }: Valuation['learned'][number]): string {
  const names = Object.entries(weights)
  const what =
    kind === 'lambda'
      ? `lambda ${lambda.toFixed(3)}`
      : `--weights ${names
          .slice(0, mostClients)
          .map(([client, weight]) => `${client}=${Number(weight.toFixed(4))}`)
          .join(',')}${names.length > mostClients ? ',…' : ''}`
  const error =
    test.standardError === undefined
      ? ''
      : ` (standard error of the change ${thousandths(test.standardError)} thousandths)`
  const text = `learned ${what}: loss ${formatLoss(test.before)} -> ${formatLoss(test.after)} on the half that nothing was fitted on${error}`
  return `\n${paragraph(text)}`
}
