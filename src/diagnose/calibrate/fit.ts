/** A logistic fit with a ridge, by Newton's method: few features, few federations. */

export interface Fitted {
  features: { name: string; mean: number; scale: number; weight: number }[]
  bias: number
}

/** Penalty on squared weights of standardised features, so that few federations cannot carry a large weight. */
const RIDGE = 1

/**
 * @param rows features by name; all rows have all names
 * @param targets probabilities, 0 to 1
 */
export function fitLogistic(
  names: readonly string[],
  rows: readonly Record<string, number>[],
  targets: readonly number[],
): Fitted {
  const n = rows.length
  const means = names.map((name) => rows.reduce((sum, row) => sum + (row[name] ?? 0), 0) / n)
  const scales = names.map((name, j) => {
    const variance = rows.reduce((sum, row) => sum + ((row[name] ?? 0) - (means[j] ?? 0)) ** 2, 0) / n
    return variance > 1e-12 ? Math.sqrt(variance) : 1
  })
  const x = rows.map((row) => [1, ...names.map((name, j) => ((row[name] ?? 0) - (means[j] ?? 0)) / (scales[j] ?? 1))])
  const w = Array.from({ length: names.length + 1 }, () => 0)
  for (let iteration = 0; iteration < 50; iteration++) {
    const gradient = w.map((weight, j) => (j === 0 ? 0 : RIDGE * weight))
    const hessian = w.map((_, j) => w.map((__, k) => (j === k ? (j === 0 ? 1e-6 : RIDGE) : 0)))
    for (const [i, row] of x.entries()) {
      const p = 1 / (1 + Math.exp(-row.reduce((sum, value, j) => sum + value * (w[j] ?? 0), 0)))
      for (const [j, value] of row.entries()) {
        gradient[j] = (gradient[j] ?? 0) + (p - (targets[i] ?? 0)) * value
        for (const [k, other] of row.entries()) {
          const line = hessian[j] as number[]
          line[k] = (line[k] ?? 0) + p * (1 - p) * value * other
        }
      }
    }
    const step = solve(hessian, gradient)
    for (const [j, value] of step.entries()) w[j] = (w[j] ?? 0) - Math.max(-2, Math.min(2, value))
    if (Math.max(...step.map(Math.abs)) < 1e-9) break
  }
  return {
    features: names.map((name, j) => ({ name, mean: means[j] ?? 0, scale: scales[j] ?? 1, weight: w[j + 1] ?? 0 })),
    bias: w[0] ?? 0,
  }
}

/** Gauss with partial pivots; the matrix is positive definite. */
function solve(matrix: readonly (readonly number[])[], right: readonly number[]): number[] {
  const n = right.length
  const rows = matrix.map((row, i) => [...row, right[i] ?? 0])
  for (let c = 0; c < n; c++) {
    let pivot = c
    for (let r = c + 1; r < n; r++) if (Math.abs(rows[r]?.[c] ?? 0) > Math.abs(rows[pivot]?.[c] ?? 0)) pivot = r
    const [top, other] = [rows[pivot] as number[], rows[c] as number[]]
    rows[c] = top
    rows[pivot] = other
    if (pivot === c) rows[c] = top
    for (let r = c + 1; r < n; r++) {
      const row = rows[r] as number[]
      const factor = (row[c] ?? 0) / (top[c] ?? 1)
      for (let k = c; k <= n; k++) row[k] = (row[k] ?? 0) - factor * (top[k] ?? 0)
    }
  }
  const out = Array.from({ length: n }, () => 0)
  for (let r = n - 1; r >= 0; r--) {
    const row = rows[r] as number[]
    let value = row[n] ?? 0
    for (let k = r + 1; k < n; k++) value -= (row[k] ?? 0) * (out[k] ?? 0)
    out[r] = value / (row[r] ?? 1)
  }
  return out
}
