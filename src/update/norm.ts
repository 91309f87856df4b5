import { native } from '../native/load.js'

/** Euclidean norm, in double: squares of f32 cannot overflow it, so it is finite exactly where every number is. */
export function norm(values: Float32Array): number {
  return norms([values])[0] ?? Number.NaN
}

/** Of many arrays at once. */
export function norms(arrays: Float32Array[]): Float64Array {
  return native().norms(arrays)
}
