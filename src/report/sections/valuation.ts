import type { Valuation } from '../../valuation/valuation.js'
import { valuationFigure } from '../figures/valuation.js'
import { figure, list, paragraph, section } from '../html.js'
import { formatCount, formatLoss, thousandths } from '../numbers.js'
import type { Valued } from '../valued.js'

/** What each client's update is worth, whom the rules point at, and what was fitted. */
export function valuationSection({ arm, valuation }: Valued): string {
  const { round, baseLoss, loss, data, findings, learned } = valuation
  return section('Values of the clients', [
    paragraph(
      `Held-out loss of ${arm}, round ${round}: ${formatLoss(baseLoss)} at its start, ${formatLoss(loss)} with all clients, ` +
        `over ${formatCount(data.tokens)} tokens. Shapley values divide this gain among the clients${madeOf(valuation)}.`,
    ),
    figure(valuationFigure(valuation)),
    list(findings.map(({ rule, text }) => `${rule}: ${text}`)),
    list(learned.map(learnedText)),
  ])
}

function madeOf({ method, samples, evaluations }: Valuation): string {
  const how = method === 'exact' ? 'exactly' : `estimated from ${samples} sampled orders`
  return `, ${how}, from ${formatCount(evaluations)} coalitions`
}

function learnedText({ kind, weights, lambda, test }: Valuation['learned'][number]): string {
  const what =
    kind === 'lambda'
      ? `lambda ${lambda.toFixed(3)}`
      : `weights ${Object.entries(weights)
          .map(([client, weight]) => `${client} ${weight.toFixed(3)}`)
          .join(', ')}`
  const error =
    test.standardError === undefined
      ? ''
      : `, standard error of the change ${thousandths(test.standardError)} thousandths`
  return `Learned on half of the text, ${what}: loss ${formatLoss(test.before)} to ${formatLoss(test.after)} on the other half${error}.`
}
