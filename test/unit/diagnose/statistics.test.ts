import { describe, expect, test } from 'vitest'
import {
  bootstrap,
  estimate,
  isNarrow,
  mean,
  median,
  medianOfMeans,
  variance,
} from '../../../src/diagnose/statistics.js'
import { studentProbability, studentQuantile } from '../../../src/diagnose/student.js'
import { native } from '../../../src/native/load.js'

describe('means', () => {
  test('of known numbers', () => {
    expect(mean([1, 2, 6])).toBe(3)
    expect(variance([1, 2, 6])).toBe(7)
    expect(median([5, 1, 3])).toBe(3)
    expect(median([4, 1, 3, 2])).toBe(2.5)
  })

  test('the median of means forgets one wild draw, the mean does not', () => {
    const calm = Array.from({ length: 30 }, (_, i) => 1 + (i % 3) / 100)
    const wild = [...calm.slice(1), 1e6]
    expect(medianOfMeans(calm)).toBeCloseTo(mean(calm), 1)
    expect(medianOfMeans(wild)).toBeCloseTo(mean(calm), 1)
    expect(mean(wild)).toBeGreaterThan(1e4)
  })

  test('an estimate of nothing is nothing, of two draws it has no interval', () => {
    expect(estimate([])).toBeUndefined()
    expect(estimate([1, 2])?.interval).toBeUndefined()
    expect(isNarrow(estimate([1, 1, 1, 1])!, 0.01)).toBe(true)
    expect(isNarrow(estimate([1, 5, 1, 9])!, 0.1)).toBe(false)
  })
})

describe('the bootstrap', () => {
  test('is replayed by its seed', () => {
    const at = (places: readonly number[]) => mean(places)
    expect(bootstrap(20, at, 1)).toEqual(bootstrap(20, at, 1))
    expect(bootstrap(20, at, 1)).not.toEqual(bootstrap(20, at, 2))
  })

  test('holds the true mean of normal numbers about 95 times in 100', () => {
    let held = 0
    for (let trial = 0; trial < 200; trial++) {
      const { interval } = estimate(Array.from(native().random(7, trial, 40, 'normal')), trial)!
      if (interval!.low <= 0 && interval!.high >= 0) held++
    }
    expect(held).toBeGreaterThan(178)
    expect(held).toBeLessThan(200)
  })
})

describe("Student's t", () => {
  // Values of the published table (two-sided 95 %).
  test.each([
    [1, 12.7062],
    [2, 4.3027],
    [4, 2.7764],
    [10, 2.2281],
    [30, 2.0423],
    [1e9, 1.95996],
  ])('with %d degrees of freedom', (freedom, t) => {
    expect(studentQuantile(0.975, freedom)).toBeCloseTo(t, 3)
    expect(studentProbability(t, freedom)).toBeCloseTo(0.975, 5)
    expect(studentProbability(-t, freedom)).toBeCloseTo(0.025, 5)
  })

  test('is a half at zero, and an eighth of a turn at one with one degree', () => {
    expect(studentProbability(0, 3)).toBeCloseTo(0.5, 12)
    expect(studentProbability(1, 1)).toBeCloseTo(0.75, 10)
  })
})
