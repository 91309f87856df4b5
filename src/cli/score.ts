import type { Score } from '../evaluate/loss.js'
import { formatCount, formatLoss, formatPerplexity } from '../report/numbers.js'

/** A score for people: a line a number, its standard error beside it. */
export function scoreText(score: Score, facts: Readonly<Record<string, number>>): string {
  const error = score.standardError
  const share = (value: number) => `${(100 * value).toFixed(1)} %`
  const lines: [string, string][] = []
  if (score.accuracy !== undefined) lines.push(['accuracy', withError(share(score.accuracy), error?.accuracy, share)])
  if (score.accuracyNormalized !== undefined)
    lines.push(['by length', withError(share(score.accuracyNormalized), error?.accuracyNormalized, share)])
  lines.push(['loss', `${withError(formatLoss(score.loss), error?.loss, formatLoss)} nats a token`])
  lines.push(['perplexity', withError(formatPerplexity(score.perplexity), error?.perplexity, formatPerplexity)])
  const { examples, cut } = facts
  const of = [
    score.questions === undefined ? '' : ` of the right answers to ${formatCount(score.questions)} questions`,
    examples === undefined ? '' : ` of ${formatCount(examples)} examples`,
    cut === undefined ? '' : `, ${formatCount(cut)} cut`,
  ]
  lines.push(['over', `${formatCount(score.tokens)} tokens${of.join('')}`])
  return lines.map(([name, value]) => `${name.padEnd(12)}${value}`).join('\n')
}

function withError(text: string, error: number | undefined, format: (value: number) => string): string {
  return error === undefined ? text : `${text} ± ${format(error)}`
}
