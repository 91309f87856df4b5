/** Euclidean norm, in double: squares of f32 cannot overflow it, so it is finite exactly where every number is. */
export function norm(values: Float32Array): number {
  let sum = 0
  for (const value of values) sum += value * value
  return Math.sqrt(sum)
}
