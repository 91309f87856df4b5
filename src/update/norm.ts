import { native } from '../native/load.js'

/** Euclidean norm, in double: squares of f32 cannot overflow it, so it is finite exactly where every number is. */
export function norm(values: Float32Array): number {
  // Four sums: an addition need not wait for the one before.
  let [s0, s1, s2, s3] = [0, 0, 0, 0]
  const whole = values.length - (values.length % 4)
  for (let i = 0; i < whole; i += 4) {
    const [x0, x1, x2, x3] = [values[i] ?? 0, values[i + 1] ?? 0, values[i + 2] ?? 0, values[i + 3] ?? 0]
    s0 += x0 * x0
    s1 += x1 * x1
    s2 += x2 * x2
    s3 += x3 * x3
  }
  for (let i = whole; i < values.length; i++) s0 += (values[i] ?? 0) ** 2
  return Math.sqrt(s0 + s1 + (s2 + s3))
}

/** Of many arrays at once, by the addon. */
export function norms(arrays: Float32Array[]): Float64Array {
  return native().norms(arrays)
}
