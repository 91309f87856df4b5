/** How far a value may be from the one without chance. */

/** Of the mean of draws; undefined where there are fewer than two. */
export function standardError(draws: readonly number[]): number | undefined {
  const n = draws.length
  if (n < 2) return undefined
  const mean = draws.reduce((sum, draw) => sum + draw, 0) / n
  return Math.sqrt(draws.reduce((sum, draw) => sum + (draw - mean) ** 2, 0) / (n * (n - 1)))
}

/**
 * Of a value that is a mean over tokens, from its spread over the parts of the text that it was measured on:
 * the error of a ratio of two sums, sum(nats) / sum(tokens), to first order (Cochran, Sampling Techniques, 6.3).
 * @param parts each part's share of the value
 * @param shares each part's share of the tokens, summing to 1
 */
export function heldOutError(parts: Float64Array, shares: Float64Array): number | undefined {
  const n = parts.length
  if (n < 2) return undefined
  const value = parts.reduce((sum, part) => sum + part, 0)
  const squares = parts.reduce((sum, part, i) => sum + (part - value * (shares[i] ?? 0)) ** 2, 0)
  return Math.sqrt((squares * n) / (n - 1))
}

/** Independent errors together; undefined where neither is known. */
export function together(...errors: readonly (number | undefined)[]): number | undefined {
  const known = errors.filter((error) => error !== undefined)
  return known.length === 0 ? undefined : Math.hypot(...known)
}

/**
 * The 97.5 % quantile of Student's t: a 95 % interval is the mean -+ this many standard errors. Tabled where few degrees
 * make the series bad, else Cornish and Fisher's expansion (Abramowitz and Stegun, 26.7.5), right to 1e-3 from 5 on.
 */
export function studentQuantile(degrees: number): number {
  const few = [12.7062, 4.3027, 3.1824, 2.7764][degrees - 1]
  if (few !== undefined) return few
  const z = 1.959963984540054
  const n = Math.max(1, degrees)
  return (
    z +
    (z ** 3 + z) / (4 * n) +
    (5 * z ** 5 + 16 * z ** 3 + 3 * z) / (96 * n ** 2) +
    (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / (384 * n ** 3)
  )
}
