/** Random shares: Dirichlet by normalised Gamma variates, the same on every machine. */
import { exp, ln } from './elementary.js'
import type { Draws } from './random.js'

/**
 * Logarithm of a Gamma(shape, 1) variate. Marsaglia and Tsang, "A simple method for generating gamma variables" (ACM TOMS 26,
 * 2000), for a shape of at least 1; below, theirs of shape + 1 times U^(1/shape). Logarithms, because with a small shape
 * most variates are less than the smallest number.
 */
function logGamma(shape: number, draws: Draws): number {
  if (shape < 1) return logGamma(shape + 1, draws) + ln(draws.uniform()) / shape
  const d = shape - 1 / 3
  const c = 1 / Math.sqrt(9 * d)
  for (;;) {
    const x = normal(draws)
    const w = 1 + c * x
    const v = w * w * w
    const u = draws.uniform()
    if (v > 0 && ln(u) < 0.5 * x * x + d * (1 - v + ln(v))) return ln(d) + ln(v)
  }
}

/** Marsaglia's polar method; of the two variates one is used. */
function normal(draws: Draws): number {
  for (;;) {
    const x = 2 * draws.uniform() - 1
    const y = 2 * draws.uniform() - 1
    const s = x * x + y * y
    if (s < 1 && s > 0) return x * Math.sqrt((-2 * ln(s)) / s)
  }
}

/** `count` shares that sum to 1; the smaller alpha, the more uneven. */
export function dirichlet(count: number, alpha: number, draws: Draws): number[] {
  const logs = Array.from({ length: count }, () => logGamma(alpha, draws))
  const most = logs.reduce((a, b) => Math.max(a, b))
  const parts = logs.map((log) => exp(log - most))
  const sum = parts.reduce((a, b) => a + b)
  return parts.map((part) => part / sum)
}
