/** Adapters small enough to work by hand, and back to matrices. */
import { type Adapter, makeAdapter } from '../../../../src/adapter/adapter.js'
import { denseTensors } from '../../../../src/adapter/dense-tensors.js'

/** B A of rank one on a layer `w`: rows b x columns a. */
export function product(b: number[], a: number[], scale = 1): Adapter {
  const layer = { name: 'w', in: a.length, out: b.length, rank: 1, scale }
  return makeAdapter([{ ...layer, a: Float32Array.from(a), b: Float32Array.from(b) }])
}

/** A whole matrix as a dense delta of the same layer. */
export function dense(rows: number[][]): Adapter {
  const shape = [rows.length, rows[0]!.length]
  return makeAdapter([], [{ name: 'w.weight', shape, values: Float32Array.from(rows.flat()) }])
}

/** Row-major, rounded to what f32 can hold of it. */
export function matrix(adapter: Adapter | undefined): number[] {
  const values = denseTensors(adapter).get('w.weight')?.values ?? new Float32Array(4)
  return [...values].map((value) => Math.round(value * 1e5) / 1e5 + 0)
}
