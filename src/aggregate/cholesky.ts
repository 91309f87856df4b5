/** Symmetric positive definite systems of moderate size, in double. Golub and Van Loan, 4th edition, section 4.2. */

/** Lower L with L L' = matrix [size, size], row-major; undefined where the matrix is not positive definite. */
export function cholesky(matrix: Float64Array, size: number): Float64Array | undefined {
  const l = new Float64Array(size * size)
  for (let i = 0; i < size; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = matrix[i * size + j] ?? 0
      for (let k = 0; k < j; k++) sum -= (l[i * size + k] ?? 0) * (l[j * size + k] ?? 0)
      if (i === j) {
        if (!(sum > 1e-12 * (matrix[i * size + i] ?? 0)) || !Number.isFinite(sum)) return undefined
        l[i * size + i] = Math.sqrt(sum)
      } else l[i * size + j] = sum / (l[j * size + j] ?? 1)
    }
  }
  return l
}

/** Each row x of `rows` [n, size] becomes the solution y of (L L') y = x, in place. */
export function solveRows(l: Float64Array, size: number, rows: Float64Array): void {
  for (let start = 0; start < rows.length; start += size) {
    const x = rows.subarray(start, start + size)
    for (let i = 0; i < size; i++) {
      let sum = x[i] ?? 0
      for (let k = 0; k < i; k++) sum -= (l[i * size + k] ?? 0) * (x[k] ?? 0)
      x[i] = sum / (l[i * size + i] ?? 1)
    }
    for (let i = size - 1; i >= 0; i--) {
      let sum = x[i] ?? 0
      for (let k = i + 1; k < size; k++) sum -= (l[k * size + i] ?? 0) * (x[k] ?? 0)
      x[i] = sum / (l[i * size + i] ?? 1)
    }
  }
}
