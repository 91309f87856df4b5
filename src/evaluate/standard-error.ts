/** How far a measured number may be from that of all questions like these. */
import type { LossSum } from '../train/score.js'

/** Of a share of n questions: the sample's standard deviation of zeros and ones, over the root of n. */
export function shareError(right: number, n: number): number | undefined {
  if (n < 2) return undefined
  const share = right / n
  return Math.sqrt((share * (1 - share)) / (n - 1))
}

/**
 * Of the mean loss a token. Tokens of one text are alike, so texts are the independent units: the error of a ratio of two
 * sums, sum(loss) / sum(tokens), to first order (Cochran, Sampling Techniques, 6.3, without the finite correction).
 */
export function meanError(each: readonly LossSum[]): number | undefined {
  const n = each.length
  const tokens = each.reduce((total, one) => total + one.tokens, 0)
  if (n < 2 || tokens === 0) return undefined
  const mean = each.reduce((total, one) => total + one.sum, 0) / tokens
  const squares = each.reduce((total, one) => total + (one.sum - mean * one.tokens) ** 2, 0)
  return Math.sqrt((squares * n) / (n - 1)) / tokens
}
