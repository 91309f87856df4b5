import type { AdapterLayer } from '../adapter/adapter.js'

/**
 * Adds a layer's effect to some rows of its weight: rows first .. first + count of W + scale B A, in double, each
 * element one chain over the rank, then rounded to f32 once.
 * @param rows [count, in] of a weight stored [out, in]; [count, out] of one stored [in, out]
 */
export function addEffect(
  rows: Float32Array,
  first: number,
  layer: AdapterLayer,
  stored: { columns: number; transposed: boolean },
): void {
  const { rank, scale, a, b, in: inputs } = layer
  const { columns, transposed } = stored
  const sum = new Float64Array(columns)
  for (let row = 0; row < rows.length / columns; row++) {
    sum.fill(0)
    for (let k = 0; k < rank; k++) {
      // stored [out, in]: the row is an output and takes B's row; stored [in, out]: an input, and takes A's column
      const own = scale * ((transposed ? a[k * inputs + first + row] : b[(first + row) * rank + k]) as number)
      if (transposed) for (let j = 0; j < columns; j++) sum[j] = (sum[j] as number) + own * (b[j * rank + k] as number)
      else for (let j = 0; j < columns; j++) sum[j] = (sum[j] as number) + own * (a[k * inputs + j] as number)
    }
    const start = row * columns
    for (let j = 0; j < columns; j++) rows[start + j] = (rows[start + j] as number) + (sum[j] as number)
  }
}
