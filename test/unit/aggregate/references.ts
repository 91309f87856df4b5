/** Each method the obvious way: on dense matrices in double, one element at a time. */

/** m dense updates, shares p_i. */
type Dense = readonly Float64Array[]

export function weightedSum(updates: Dense, coefficients: readonly number[]): Float64Array {
  return (updates[0] ?? new Float64Array()).map((_, e) =>
    updates.reduce((sum, u, i) => sum + coefficients[i]! * u[e]!, 0),
  )
}

export function elementwise(updates: Dense, rule: (values: number[]) => number): Float64Array {
  return (updates[0] ?? new Float64Array()).map((_, e) => rule(updates.map((u) => u[e]!)))
}

export function median(values: number[]): number {
  const sorted = [...values].sort((x, y) => x - y)
  const half = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2
}

export function trimmedMean(trimmed: number): (values: number[]) => number {
  return (values) => {
    const kept = [...values].sort((x, y) => x - y).slice(trimmed, values.length - trimmed)
    return kept.reduce((sum, x) => sum + x, 0) / kept.length
  }
}

export function ties(updates: Dense, shares: readonly number[], density: number): Float64Array {
  const trimmed = updates.map((u) => {
    const kept = Math.ceil(density * u.length)
    const least = [...u].map(Math.abs).sort((x, y) => y - x)[kept - 1]!
    return u.map((x) => (Math.abs(x) >= least * (1 - 1e-6) ? x : 0))
  })
  return elementwise(trimmed, (values) => {
    const elected = Math.sign(values.reduce((sum, x, i) => sum + shares[i]! * x, 0))
    const agree = values.map((x, i) => ({ x, p: shares[i]! })).filter(({ x }) => x !== 0 && Math.sign(x) === elected)
    const total = agree.reduce((sum, { p }) => sum + p, 0)
    return total === 0 ? 0 : agree.reduce((sum, { x, p }) => sum + p * x, 0) / total
  })
}

function squared(x: Float64Array, y: Float64Array): number {
  return x.reduce((sum, value, e) => sum + (value - y[e]!) ** 2, 0)
}

/** Indices, best first. */
export function krumOrder(updates: Dense, f: number): number[] {
  const scores = updates.map((u, i) =>
    updates
      .filter((_, j) => j !== i)
      .map((other) => squared(u, other))
      .sort((x, y) => x - y)
      .slice(0, updates.length - f - 2)
      .reduce((sum, d) => sum + d, 0),
  )
  return scores.map((_, i) => i).sort((x, y) => scores[x]! - scores[y]!)
}

/** The objective that the geometric median makes least. */
export function distanceSum(updates: Dense, shares: readonly number[], point: Float64Array): number {
  return updates.reduce((sum, u, i) => sum + shares[i]! * Math.sqrt(squared(u, point)), 0)
}
