import { toBatch } from '../data/batches.js'
import type { Example } from '../data/dataset.js'
import { OneroundError } from '../errors.js'
import { aborted, checkAborted } from './job.js'
import type { TrainingSession } from './session.js'

/** How well a model says a text. */
export interface Score {
  /** mean over all trained tokens, nats */
  loss: number
  /** exp(loss) */
  perplexity: number
  /** tokens that the mean is over */
  tokens: number
  /** of choice or exact match, 0 to 1 */
  accuracy?: number
  /** of choice, where a choice's log-likelihood is divided by its characters */
  accuracyNormalized?: number
  /** questions that the accuracies are over */
  questions?: number
  /** of the numbers above, from their spread over examples or questions; absent where there is only one */
  standardError?: StandardErrors
}

interface StandardErrors {
  loss?: number
  perplexity?: number
  accuracy?: number
  accuracyNormalized?: number
}

/** A sum that scores are made of. */
export interface LossSum {
  /** nats */
  sum: number
  tokens: number
}

interface ScoreOptions {
  rowsPerPass: number
  signal?: AbortSignal | undefined
  /** rows scored so far */
  onRows?: ((rows: number) => void) | undefined
  /** each example's own sum, nats, in order */
  onLoss?: ((index: number, loss: number, tokens: number) => void) | undefined
}

/**
 * Summed loss of examples under a session's present parameters, without dropout. Each example's own sum is computed
 * without regard to its neighbours and all are added in double in the order given, so batching changes no bit.
 */
export async function sumLosses(
  session: TrainingSession,
  examples: readonly Example[],
  o: ScoreOptions,
): Promise<LossSum> {
  const total: LossSum = { sum: 0, tokens: 0 }
  const stop = () => session.abort()
  o.signal?.addEventListener('abort', stop)
  try {
    let rowsDone = 0
    for (let first = 0; first < examples.length; ) {
      checkAborted(o.signal)
      let rows = 0
      let last = first
      while (last < examples.length) {
        const length = examples[last]?.ids.length ?? 0
        if (last > first && rows + length > o.rowsPerPass) break
        rows += length
        last++
      }
      const { losses, tokens } = await session.evaluate(toBatch(examples.slice(first, last)))
      for (const loss of losses) total.sum += loss
      for (const count of tokens) total.tokens += count
      for (const [i, loss] of losses.entries()) o.onLoss?.(first + i, loss, tokens[i] ?? 0)
      rowsDone += rows
      o.onRows?.(rowsDone)
      first = last
    }
  } catch (error) {
    if (o.signal?.aborted) throw aborted(error)
    throw error
  } finally {
    o.signal?.removeEventListener('abort', stop)
  }
  checkFinite(total.sum)
  return total
}

/** @throws OneroundError NUMERIC */
export function checkFinite(sum: number): void {
  if (Number.isFinite(sum)) return
  throw new OneroundError('NUMERIC', 'The loss of the held-out text is not finite.', {
    found: String(sum),
    expected: 'a finite number',
    fix: 'Look at the adapter or the base: one of its weights is not finite or far too large.',
  })
}

/** The mean of a sum; of nothing: undefined. */
export function meanLoss(sum: LossSum): number | undefined {
  return sum.tokens > 0 ? sum.sum / sum.tokens : undefined
}

export function scoreOf(sum: LossSum): Score {
  const loss = sum.tokens > 0 ? sum.sum / sum.tokens : Number.NaN
  return { loss, perplexity: Math.exp(loss), tokens: sum.tokens }
}
