import { describe, expect, test } from 'vitest'
import { makeAdapter } from '../../../src/adapter/adapter.js'
import { blend } from '../../../src/diagnose/blend.js'
import { costOf, expectedCompute } from '../../../src/diagnose/cost.js'
import { effectNorms, effectOf, innerProduct } from '../../../src/diagnose/effect.js'
import { measureGap } from '../../../src/diagnose/gap.js'
import { parabolaMinimum, scaled } from '../../../src/diagnose/lambda.js'
import { projectTau } from '../../../src/diagnose/travel.js'
import { native } from '../../../src/native/load.js'
import { effects } from '../../federation/tiny.js'

const normals = (seed: number, count: number) => native().random(seed, 0, count, 'normal')

function adapterOf(seed: number, rank = 2) {
  const layer = { name: 'layer', in: 7, out: 5, rank, scale: 0.5 }
  return makeAdapter([{ ...layer, a: normals(seed, rank * 7), b: normals(seed + 1, 5 * rank) }])
}
const denseOf = (seed: number) => makeAdapter([], [{ name: 'layer.weight', shape: [5, 7], values: normals(seed, 35) }])

/** The slow way: all of the matrix. */
function matrixOf(adapter: ReturnType<typeof adapterOf>): Float64Array {
  return effects(adapter).get('layer') ?? new Float64Array(35)
}
const dot = (x: Float64Array, y: Float64Array) => x.reduce((sum, value, i) => sum + value * y[i]!, 0)

describe('effects', () => {
  const [x, y, d] = [adapterOf(1), adapterOf(5, 3), denseOf(9)]
  const both = makeAdapter(x.layers, d.dense)

  test.each([
    ['factors and factors', x, y],
    ['factors and dense', x, d],
    ['dense and dense', d, denseOf(11)],
    ['both and both', both, makeAdapter(y.layers, denseOf(11).dense)],
  ])('inner product of %s', (_, left, right) => {
    const [a, b] = [left, right].map((adapter) => effectOf({ adapter, weight: 1 }).get('layer.weight')!)
    const expected = dot(matrixOf(left), matrixOf(right))
    expect(innerProduct(a!, b!) / expected).toBeCloseTo(1, 6)
  })

  test('norms of a weighted sum, factors and dense together', async () => {
    const sum = matrixOf(x).map((value, i) => 0.3 * value - 2 * matrixOf(d)[i]!)
    const { norm } = await effectNorms({ adapter: x, weight: 0.3 }, { adapter: d, weight: -2 })
    expect(norm / Math.sqrt(dot(sum, sum))).toBeCloseTo(1, 6)
  })

  test('a gap of nothing is nothing', async () => {
    expect((await measureGap(x, x, { one: '1x2', several: '2x1' })).relative).toBeLessThan(1e-7)
    expect((await measureGap(x, y, { one: '1x2', several: '2x1' })).epsilon).toBeGreaterThan(1)
  })

  test('the line between two adapters meets both and its middle', () => {
    const [a, b] = [matrixOf(both), matrixOf(y)]
    for (const t of [0, 0.5, 1]) {
      const there = matrixOf(blend(both, y, t))
      for (const [i, value] of there.entries()) expect(value).toBeCloseTo((1 - t) * a[i]! + t * b[i]!, 5)
    }
    expect(matrixOf(scaled(both, 2))[3]).toBeCloseTo(2 * a[3]!, 5)
    expect(matrixOf(scaled(y, new Map([['layer.weight', 3]])))[3]).toBeCloseTo(3 * b[3]!, 4)
  })
})

describe('lambda', () => {
  const curve = (minimum: number) =>
    [0, 0.5, 1, 1.5, 2].map((lambda) => ({ lambda, validation: (lambda - minimum) ** 2 }))
  test('the minimum of a parabola is found between its points, and not beyond their ends', () => {
    expect(parabolaMinimum(curve(1.2))).toBeCloseTo(1.2, 9)
    expect(parabolaMinimum(curve(0.6))).toBeCloseTo(0.6, 9)
    expect(parabolaMinimum(curve(5))).toBe(2)
  })
})

describe('cost', () => {
  test('without spread nobody waits, with it several rounds wait longer than one', () => {
    expect(expectedCompute(10, 3, 1, 2, 0)).toBe(6)
    const [one, three] = [expectedCompute(10, 1, 3, 2, 0.5), expectedCompute(10, 3, 1, 2, 0.5)]
    expect(one).toBeGreaterThan(6)
    expect(three).toBeGreaterThan(1.15 * one)
    // One client waits for nobody: its time is its own mean.
    expect(expectedCompute(1, 3, 1, 2, 0.5) / 6).toBeCloseTo(1, 1)
  })

  test('a link carries its own share', () => {
    const arms = [{ what: '1x3', rounds: 1, bytesUp: 10e6, bytesDown: 50e6 }]
    const { rows } = costOf(
      { clients: 10, horizon: 3, secondsEach: 6, measured: '', arms },
      { upMbit: 8, downMbit: 8, spread: 0 },
    )
    expect(rows[0]).toMatchObject({ linkSeconds: 6, waitSeconds: 0, computeSeconds: 6 })
  })
})

test('tau is projected between a root and a straight line', () => {
  const travel = (taus: number[]) => ({
    tau: taus.at(-1)!,
    distance: 1,
    baseNorm: 1,
    layers: [],
    path: taus.map((tau, i) => ({ step: 2 ** i, tau })),
    of: { what: '', steps: 2 ** (taus.length - 1), ofSteps: 4 * 2 ** (taus.length - 1) },
  })
  expect(projectTau(travel([1, 2, 4]))).toBeCloseTo(16, 9)
  expect(projectTau(travel([1, Math.SQRT2, 2]))).toBeCloseTo(4, 9)
  expect(projectTau(travel([1, 1, 1]))).toBeCloseTo(2, 9)
})
