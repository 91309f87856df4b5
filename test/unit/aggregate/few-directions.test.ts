/** The best few directions of dense sums, against matrices whose singular values are known. */
import { describe, expect, test } from 'vitest'
import { native } from '../../../src/native/load.js'

const side = 160

/** Columns that are orthonormal, [rows, columns], seeded; in double. */
function orthonormal(seed: number, rows: number, columns: number): Float64Array[] {
  const kept: Float64Array[] = []
  for (let j = 0; j < columns; j++) {
    const column = Float64Array.from(native().random(seed, j, rows, 'normal'))
    for (let twice = 0; twice < 2; twice++)
      for (const other of kept) {
        const along = inner(column, other)
        for (let i = 0; i < rows; i++) column[i]! -= along * other[i]!
      }
    const length = Math.sqrt(inner(column, column))
    kept.push(column.map((value) => value / length))
  }
  return kept
}

function inner(x: ArrayLike<number>, y: ArrayLike<number>): number {
  let sum = 0
  for (let i = 0; i < x.length; i++) sum += x[i]! * y[i]!
  return sum
}

const [left, right] = [orthonormal(1, side + 40, side), orthonormal(2, side, side)]

/** sum_j values[j] left_j right_j', [side + 40, side] */
function withValues(values: readonly number[]): Float32Array {
  const matrix = new Float64Array((side + 40) * side)
  for (const [j, value] of values.entries()) {
    if (value === 0) continue
    for (let i = 0; i < side + 40; i++)
      for (let k = 0; k < side; k++) matrix[i * side + k]! += value * left[j]![i]! * right[j]![k]!
  }
  return Float32Array.from(matrix)
}

const spectra: [name: string, of: (j: number) => number][] = [
  ['flat', (j) => 1 - 0.2 * (j / side)],
  ['slow', (j) => 1 / Math.sqrt(1 + j)],
  ['steep', (j) => 0.8 ** j],
  ['very steep', (j) => 0.3 ** j],
  ['of rank 5', (j) => (j < 5 ? 1 + j : 0)],
  ['one value many times', () => 1],
  ['twelve largest alike', (j) => (j < 12 ? 2 : 0.9 ** j)],
  ['a cluster', (j) => (j < 12 ? 2 + 1e-6 * j : 0.9 ** j)],
  ['alike by fours', (j) => 0.7 ** Math.floor(j / 4)],
]

describe.each(spectra)('a spectrum that is %s', (_, of) => {
  const values = Array.from({ length: side }, (__, j) => of(j))
  const matrix = withValues(values)
  values.sort((x, y) => y - x)

  test.each([1, 10, 16, 30])('%i directions', async (count) => {
    const found = await native().factorizeDense(side, side + 40, matrix, count, 0)
    const numeric = values.filter((value) => value > 1e-6 * values[0]!).length
    expect(found.rank).toBeGreaterThanOrEqual(Math.min(count, numeric))
    for (let j = 0; j < Math.min(count, numeric); j++)
      expect(Math.abs(found.singularValues[j]! - values[j]!) / values[0]!).toBeLessThan(1e-6)
    // What is left out is the rest of the spectrum, and the factors give the other part: no direction is missing.
    const rest = Math.sqrt(values.slice(count).reduce((sum, value) => sum + value * value, 0))
    expect(Math.abs(found.lost - rest) / found.norm).toBeLessThan(2e-6)
    let off = 0
    for (let i = 0; i < side + 40; i++)
      for (let k = 0; k < side; k++) {
        let value = matrix[i * side + k]!
        for (let j = 0; j < found.rank; j++) value -= found.b[i * found.rank + j]! * found.a[j * side + k]!
        off += value * value
      }
    expect(Math.abs(Math.sqrt(off) - rest) / found.norm).toBeLessThan(2e-6)
  })
})

test('a matrix of zeros has rank 0, and one number gives one direction', async () => {
  const zeros = new Float32Array(side * side)
  expect((await native().factorizeDense(side, side, zeros, 4, 0)).rank).toBe(0)
  zeros[7 * side + 3] = -2
  const one = await native().factorizeDense(side, side, zeros, 4, 0)
  expect(one.rank).toBe(1)
  expect(one.b[7]! * one.a[3]!).toBeCloseTo(-2, 6)
})

test('the same matrix gives the same bits', async () => {
  const matrix = withValues(Array.from({ length: side }, (_, j) => 0.9 ** j))
  const two = await Promise.all([1, 2].map(() => native().factorizeDense(side, side + 40, matrix, 12, 0)))
  expect(two[1]).toEqual(two[0])
})

// Layers that are wide and tall, of one block of rows and of several, and ranks of one batch and of several.
test.each([
  [75, 61, 90],
  [61, 75, 230],
  [47, 211, 40],
  [211, 47, 40],
])(
  'on a grid of %i by %i, %i clients are the sum of each, and factors straight from it are those of its values',
  async (inDim, out, clients) => {
    const step = 2 ** 30
    const pairs = Array.from({ length: clients }, (_, i) => ({
      rank: 1 + (i % 11),
      a: native().random(3, 2 * i, (1 + (i % 11)) * inDim, 'normal'),
      b: native().random(3, 2 * i + 1, (1 + (i % 11)) * out, 'normal'),
      weight: step * (1 + (i % 3)),
    }))
    const all = new BigInt64Array(inDim * out)
    await native().addToGrid(inDim, out, all, pairs, 2)
    const single = new BigInt64Array(inDim * out)
    for (const pair of pairs.toReversed()) await native().addToGrid(inDim, out, single, [pair], 1)
    expect(single).toEqual(all)
    // Several layers at once, one of them new: as if each were alone, for any number of threads.
    for (const threads of [1, 3]) {
      const sums = [pairs, pairs.slice(0, 30), pairs.slice(30)].map((some) => ({
        in: inDim,
        out,
        grid: new BigInt64Array(inDim * out),
        isNew: some === pairs,
        pairs: some,
      }))
      sums[2]!.grid = sums[1]!.grid.slice()
      await native().addToGrids(sums.slice(0, 2), threads)
      sums[2]!.grid.set(sums[1]!.grid)
      await native().addToGrids(sums.slice(2), threads)
      expect(sums[0]!.grid).toEqual(all)
      expect(sums[2]!.grid).toEqual(all)
    }
    expect(() => native().addToGrids([{ in: 3, out, grid: all, isNew: false, pairs }], 1)).toThrow(/grid is not/)
    const bad = native().addToGrids([{ in: out, out: inDim, grid: all.slice(), isNew: false, pairs }], 1)
    await expect(bad).rejects.toMatchObject({ code: 'ARGUMENT' })
    const rounded = new BigInt64Array(inDim * out)
    // Beside this number below 2^51 a double has no fraction: ties go to even.
    const magic = 1.5 * 2 ** 52
    for (const { rank, a, b, weight } of pairs)
      for (let i = 0; i < out; i++)
        for (let j = 0; j < inDim; j++) {
          let sum = 0
          for (let k = 0; k < rank; k++) sum += b[i * rank + k]! * a[k * inDim + j]!
          rounded[i * inDim + j]! += BigInt(sum * weight + magic - magic)
        }
    expect(rounded).toEqual(all)
    const values = native().gridValues(all, 1 / step)
    const direct = await native().factorizeOnGrid(inDim, out, pairs, 1 / step, 6, 0)
    expect(direct).toEqual(await native().factorizeDense(inDim, out, values, 6, 0))
    expect(await native().factorizeGrid(inDim, out, all, 1 / step, 6, 0)).toEqual(direct)
  },
)
