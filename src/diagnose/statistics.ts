/** Means of heavy-tailed numbers, and how sure they are. Seeded: the same numbers give the same interval. */
import { Draws } from '../data/random.js'

/** Of data/random's streams: these are this room's own. */
export const DIAGNOSE_STREAM = { bootstrap: 101, split: 102, batches: 103, stragglers: 104, federations: 105 } as const

export interface Interval {
  low: number
  high: number
}

export interface Estimate {
  /** numbers that it is made of */
  draws: number
  mean: number
  /** mean of the groups' means' median: one wild draw cannot move it far */
  medianOfMeans: number
  /** of the mean, 95 %, by bootstrap; absent with fewer than 3 draws */
  interval?: Interval
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

/** Sample variance, n - 1 in the denominator; of one value: NaN. */
export function variance(values: readonly number[]): number {
  const center = mean(values)
  return values.reduce((sum, value) => sum + (value - center) ** 2, 0) / (values.length - 1)
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const half = sorted.length / 2
  return Number.isInteger(half)
    ? ((sorted[half - 1] ?? Number.NaN) + (sorted[half] ?? Number.NaN)) / 2
    : (sorted[Math.floor(half)] ?? Number.NaN)
}

/**
 * The median of the means of `groups` equal groups, in the order of the draws (Nemirovsky and Yudin; for heavy tails
 * see Lugosi and Mendelson, arXiv 1906.04280). Groups: about the root of the number of draws, at least 3 draws each.
 */
export function medianOfMeans(values: readonly number[]): number {
  const groups = Math.max(1, Math.min(Math.round(Math.sqrt(values.length)), Math.floor(values.length / 3)))
  return median(Array.from({ length: groups }, (_, g) => mean(values.filter((_, i) => i % groups === g))))
}

/** Quantile of sorted values by linear interpolation. */
function quantile(sorted: readonly number[], q: number): number {
  const at = q * (sorted.length - 1)
  const below = Math.floor(at)
  const low = sorted[below] ?? Number.NaN
  const high = sorted[Math.min(below + 1, sorted.length - 1)] ?? Number.NaN
  return low + (at - below) * (high - low)
}

/** 95 % percentile interval of a statistic of resampled places 0..count-1. */
export function bootstrap(
  count: number,
  statistic: (places: readonly number[]) => number,
  seed: number,
  samples = 1000,
): Interval {
  const draws = new Draws(seed, DIAGNOSE_STREAM.bootstrap, count)
  const places = Array.from({ length: count }, () => 0)
  const values: number[] = []
  for (let s = 0; s < samples; s++) {
    for (let i = 0; i < count; i++) places[i] = Math.floor(draws.uniform() * count)
    values.push(statistic(places))
  }
  values.sort((a, b) => a - b)
  return { low: quantile(values, 0.025), high: quantile(values, 0.975) }
}

/** An estimate of the draws' mean; undefined of nothing. */
export function estimate(values: readonly number[], seed = 0): Estimate | undefined {
  if (values.length === 0) return undefined
  const result: Estimate = { draws: values.length, mean: mean(values), medianOfMeans: medianOfMeans(values) }
  if (values.length < 3) return result
  const at = (places: readonly number[]) => places.reduce((sum, i) => sum + (values[i] ?? 0), 0) / places.length
  return { ...result, interval: bootstrap(values.length, at, seed) }
}

/** Whether a mean is known to within `relative` of itself, either way. */
export function isNarrow({ interval, mean }: Estimate, relative: number): boolean {
  return interval !== undefined && interval.high - interval.low <= 2 * relative * Math.abs(mean)
}
