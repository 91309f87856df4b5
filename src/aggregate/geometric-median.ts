/** The point with the least sum of weighted distances to all updates (RFA, arXiv 1912.13445). */
import type { CoefficientRule } from './coefficients.js'

/** Distances below this share of the largest norm count as this much (the smoothing of RFA). */
const smoothing = 1e-6
const mostRounds = 200
const converged = 1e-10

/**
 * Weiszfeld's rounds in coefficients: the point is always sum c_i dW_i, so its distances follow from the Gram matrix;
 * c_i becomes p_i / distance_i, normalised, until no coefficient moves by more than 1e-10.
 */
export const geometricMedianCoefficients: CoefficientRule = ({ clients, values }, shares) => {
  const m = clients.length
  const at = (i: number, j: number) => values[i * m + j] ?? 0
  const largest = Math.sqrt(Math.max(...clients.map((_, i) => at(i, i))))
  let c = [...shares]
  for (let round = 0; round < mostRounds; round++) {
    const inner = c.map((_, i) => c.reduce((sum, cj, j) => sum + cj * at(i, j), 0))
    const square = c.reduce((sum, ci, i) => sum + ci * (inner[i] ?? 0), 0)
    const distance = c.map((_, i) => Math.sqrt(Math.max(0, at(i, i) - 2 * (inner[i] ?? 0) + square)))
    const raw = distance.map((d, i) => (shares[i] ?? 0) / Math.max(d, smoothing * largest, Number.MIN_VALUE))
    const total = raw.reduce((sum, value) => sum + value, 0)
    const next = raw.map((value) => value / total)
    const moved = Math.max(...next.map((value, i) => Math.abs(value - (c[i] ?? 0))))
    c = next
    if (moved <= converged) break
  }
  return c
}
