/** What few directions of a dense sum leave out, against the least that is possible: that of all directions by Jacobi. */
import { describe, expect, test } from 'vitest'
import { native } from '../../../src/native/load.js'

const [inDim, out, clients, rank] = [260, 300, 60, 6]

/** The sum of many clients' factors, whose directions are about as long as `size` says. */
async function sumOf(seed: number, size: (j: number) => number): Promise<Float32Array> {
  const shared = native().random(seed, 999, rank * inDim, 'normal')
  const pairs = Array.from({ length: clients }, (_, c) => {
    const own = native().random(seed, 2 * c, rank * inDim, 'normal')
    const a = own.map((value, i) => size(Math.floor(i / inDim) + rank * c) * value + size(0) * 0.1 * (shared[i] ?? 0))
    return { rank, a, b: native().random(seed, 2 * c + 1, out * rank, 'normal'), weight: 1 / clients }
  })
  return (await native().denseSum(inDim, out, pairs, new Float32Array(), 0)).values
}

/** ||matrix - B A||, in double. */
function distance(matrix: Float32Array, f: { rank: number; a: Float32Array; b: Float32Array }): number {
  let total = 0
  for (let i = 0; i < out; i++)
    for (let j = 0; j < inDim; j++) {
      let value = matrix[i * inDim + j]!
      for (let k = 0; k < f.rank; k++) value -= f.b[i * f.rank + k]! * f.a[k * inDim + j]!
      total += value * value
    }
  return Math.sqrt(total)
}

describe.each<[string, (j: number) => number]>([
  ['unlike clients, all as strong', () => 1],
  ['strength falls slowly', (j) => 1 / Math.sqrt(1 + j)],
  ['strength falls', (j) => 1 / (1 + j)],
  ['strength falls fast', (j) => 0.9 ** j],
])('%s', (_, size) => {
  test.each([1, 8, 16, 40])('%i directions', async (count) => {
    const matrix = await sumOf(5, size)
    const all = await native().factorizeDense(inDim, out, matrix, inDim, 0)
    const least = Math.sqrt(all.singularValues.slice(count).reduce((sum, value) => sum + value * value, 0))
    const few = await native().factorizeDense(inDim, out, matrix, count, 0)
    expect(few.rank).toBe(Math.min(count, all.rank))
    // Told in double: at most 1e-7 more than the least; below 1e-8 of the norm it ends.
    expect(few.lost).toBeLessThan(least * (1 + 1e-7) + 1e-8 * few.norm)
    expect(few.lost).toBeGreaterThan(least * (1 - 1e-9) - 1e-8 * few.norm)
    // The factors themselves are f32.
    expect(Math.abs(distance(matrix, few) - few.lost)).toBeLessThan(3e-7 * few.norm)
    for (let j = 0; j < few.rank; j++)
      expect(Math.abs(few.singularValues[j]! / all.singularValues[j]! - 1)).toBeLessThan(1e-6)
  })
})
