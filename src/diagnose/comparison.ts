/**
 * One round against several at equal horizon: the difference in held-out loss a token, paired by example and over
 * seeds. Two sources of chance are added as variances: which examples were held out (a ratio of sums over examples,
 * resampled as whole clients' worth of texts would be) and which seed trained (the spread between runs). With few
 * seeds the interval is Student's, with degrees of freedom after Welch and Satterthwaite.
 */

import type { Interval } from './statistics.js'
import { mean, variance } from './statistics.js'
import { studentProbability, studentQuantile } from './student.js'

/** One run's losses of two arms on the same examples, and of the base; summed over each example's tokens. */
export interface PairedRun {
  seed: number
  /** what the examples are, so that runs on the same ones are known: one key an example */
  keys: readonly string[]
  tokens: readonly number[]
  base: readonly number[]
  one: readonly number[]
  several: readonly number[]
}

interface PairedDifference {
  difference: number
  interval: Interval
  errors: { items: number; seeds: number; freedom: number }
  perSeed: { seed: number; base: number; one: number; several: number; difference: number }[]
  /** different examples over all runs */
  items: number
  /** P(true difference < x), by the same distribution as the interval */
  below(x: number): number
}

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0)

export function pairedDifference(runs: readonly PairedRun[]): PairedDifference {
  const perSeed = runs.map(({ seed, tokens, base, one, several }) => {
    const n = sum(tokens)
    const [b, o, s] = [sum(base) / n, sum(one) / n, sum(several) / n]
    return { seed, base: b, one: o, several: s, difference: o - s }
  })
  const differences = perSeed.map((run) => run.difference)
  const difference = mean(differences)
  const { error: items, count } = itemError(runs, differences)
  const seeds = runs.length < 2 ? 0 : Math.sqrt(variance(differences) / runs.length)
  const error = Math.hypot(items, seeds)
  // Degrees of freedom of each part weigh by the square of its variance.
  const parts = [
    { variance: items ** 2, freedom: Math.max(1, count - 1) },
    { variance: seeds ** 2, freedom: Math.max(1, runs.length - 1) },
  ]
  const denominator = sum(parts.map((part) => part.variance ** 2 / part.freedom))
  const freedom = denominator > 0 ? error ** 4 / denominator : Math.max(1, count - 1)
  const half = error * studentQuantile(0.975, freedom)
  return {
    difference,
    interval: { low: difference - half, high: difference + half },
    errors: { items, seeds, freedom },
    perSeed,
    items: count,
    below: (x) => (error === 0 ? Number(difference < x) : studentProbability((x - difference) / error, freedom)),
  }
}

/**
 * Standard error of the mean difference from the choice of examples: an example that several runs judge counts once,
 * with its average over them. A ratio of sums, to first order (Cochran, Sampling Techniques, 6.3).
 */
function itemError(runs: readonly PairedRun[], differences: readonly number[]): { error: number; count: number } {
  const residuals = new Map<string, number>()
  for (const [r, run] of runs.entries()) {
    const n = sum(run.tokens)
    for (const [i, key] of run.keys.entries()) {
      const value = (run.one[i] ?? 0) - (run.several[i] ?? 0) - (differences[r] ?? 0) * (run.tokens[i] ?? 0)
      residuals.set(key, (residuals.get(key) ?? 0) + value / n / runs.length)
    }
  }
  const count = residuals.size
  if (count < 2) return { error: 0, count }
  const squares = sum([...residuals.values()].map((value) => value * value))
  return { error: Math.sqrt((squares * count) / (count - 1)), count }
}
