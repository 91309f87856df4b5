import { describe, expect, test } from 'vitest'
import { bestAgainstBest, validationPart } from '../../../src/diagnose/best.js'
import { type PairedRun, pairedDifference } from '../../../src/diagnose/comparison.js'
import type { Pairing } from '../../../src/diagnose/paired-runs.js'
import { compareArms, type Margin } from '../../../src/diagnose/truth.js'
import type { BestAgainstBest } from '../../../src/diagnose/types.js'
import { besideBest, verdictOfComparison } from '../../../src/diagnose/verdict.js'
import { native } from '../../../src/native/load.js'

/** Losses of ten tokens an example: base 4 a token, several 3, one 3 + `worse`, with noise of the given size a token. */
function runOf(seed: number, worse: number, noise: number, items = 100, shift = 0): PairedRun {
  const normal = (stream: number) => Array.from(native().random(seed, stream, items, 'normal'))
  const [common, own] = [normal(1), normal(2)]
  const tokens = common.map(() => 10)
  return {
    seed,
    keys: common.map((_, i) => `item-${i}`),
    tokens,
    base: common.map((x) => 10 * (4 + x / 10)),
    several: common.map((x) => 10 * (3 + x / 10)),
    one: common.map((x, i) => 10 * (3 + x / 10 + worse + shift + noise * own[i]!)),
  }
}

const pairing = (runs: PairedRun[]): Pairing => ({ one: '1x3', several: '3x1', runs, left: [] })
const arm = (bytes: number) => ({
  name: 'x',
  overall: { loss: 1, tokens: 1 },
  bytesUp: bytes,
  bytesDown: 0,
  seconds: 1,
})
const judge = (runs: PairedRun[], margin: Margin = {}) =>
  verdictOfComparison(compareArms(pairing(runs), { one: arm(10), several: arm(30) }, margin))

describe('a paired difference', () => {
  test('is that of the losses, and forgets what both arms share', () => {
    const { difference, interval, items } = pairedDifference([runOf(1, 0.05, 0), runOf(2, 0.05, 0)])
    expect(difference).toBeCloseTo(0.05, 6)
    expect(interval.high - interval.low).toBeLessThan(1e-6)
    expect(items).toBe(100)
  })

  test('holds the truth about 95 times in 100, from the spread of examples', () => {
    let held = 0
    for (let trial = 0; trial < 100; trial++) {
      const { interval } = pairedDifference([runOf(100 + trial, 0.02, 0.1, 60)])
      if (interval.low <= 0.02 && interval.high >= 0.02) held++
    }
    expect(held).toBeGreaterThan(88)
    expect(held).toBeLessThan(100)
  })

  test('is as unsure as seeds that differ make it', () => {
    const shifts = [-0.05, 0, 0.05]
    const { errors, interval } = pairedDifference(shifts.map((shift, seed) => runOf(seed, 0, 0, 100, shift)))
    expect(errors.seeds).toBeCloseTo(0.05 / Math.sqrt(3), 6)
    // Student's with two degrees of freedom.
    expect(interval.high).toBeCloseTo((4.3027 * 0.05) / Math.sqrt(3), 4)
  })

  test('an example that three seeds judge is one example', () => {
    const same = [1, 1, 1].map((seed) => runOf(seed, 0, 0.1))
    const once = pairedDifference(same.slice(0, 1))
    expect(pairedDifference(same).errors.items).toBeCloseTo(once.errors.items, 9)
    const fresh = [1, 2, 3].map((seed) => {
      const run = runOf(seed, 0, 0.1)
      return { ...run, keys: run.keys.map((key) => `${seed}/${key}`) }
    })
    expect(pairedDifference(fresh).errors.items / once.errors.items).toBeCloseTo(1 / Math.sqrt(3), 1)
    expect(pairedDifference(fresh).items).toBe(300)
  })
})

describe('the verdict', () => {
  const three = (worse: number, noise: number, items?: number) =>
    [1, 2, 3].map((seed) => runOf(seed, worse, noise, items))

  test('says beside itself what each side at its own best would tell, where that is something else', () => {
    const candidate = (name: string) => ({
      arm: name,
      learningRate: 0.003,
      lambda: 1,
      seeds: 3,
      validation: 1,
      test: 1,
    })
    const best = (low: number, high: number): BestAgainstBest => ({
      one: candidate('1x3'),
      several: candidate('3x1'),
      candidates: { one: 2, several: 2 },
      validationItems: 50,
      testItems: 50,
      difference: (low + high) / 2,
      interval: { low, high },
    })
    const told = (worse: number, low: number, high: number) => {
      const verdict = judge(three(worse, 0.01))
      return besideBest(verdict, best(low, high), 0.02).wouldChange.length - verdict.wouldChange.length
    }
    // Margin 0.02 of a gain of 1: 0.001 suffices, 0.1 needs several rounds.
    expect(told(0.001, -0.01, 0.01)).toBe(0)
    expect(told(0.001, 0.001, 0.03)).toBe(1)
    expect(told(0.1, 0.03, 0.2)).toBe(0)
    expect(told(0.1, 0.01, 0.2)).toBe(0)
    expect(told(0.1, -0.01, 0.01)).toBe(1)
    const changed = besideBest(judge(three(0.1, 0.01)), best(-0.01, 0.01), 0.02)
    expect(changed.kind).toBe('several-rounds-needed')
    expect(changed.wouldChange[0]).toMatch(
      /best setting tried: the loss of 1x3 at 0.003 minus that of 3x1 at 0.003 is 0/,
    )
  })

  test('one round suffices where even the upper end is below the margin', () => {
    const verdict = judge(three(0.001, 0.01))
    expect(verdict.kind).toBe('one-round-suffices')
    expect(verdict.confidence).toBeGreaterThan(0.95)
    expect(verdict.sentence).toMatch(/66\.7 % of the bytes/)
  })

  test('several rounds are needed where even the lower end is above it', () => {
    expect(judge(three(0.1, 0.01)).kind).toBe('several-rounds-needed')
    expect(judge(three(0.1, 0.01), { nats: 0.2 }).kind).toBe('one-round-suffices')
  })

  test('one round costs where the loss is sure and its size beside the margin is not', () => {
    const verdict = judge(three(0.02, 0.05))
    expect(verdict.kind).toBe('one-round-costs')
    expect(verdict.sentence).toMatch(/% of the gain/)
  })

  test('noise is not enough evidence, and says what would be', () => {
    const verdict = judge(three(0.002, 0.5))
    expect(verdict.kind).toBe('not-enough-evidence')
    expect(verdict.missing[0]?.enough).toMatch(/held-out examples instead of 100|seeds instead of 3/)
    expect(verdict.confidence).toBeUndefined()
  })

  test.each<[string, PairedRun[], RegExp]>([
    ['two seeds', [runOf(1, 0, 0.01), runOf(2, 0, 0.01)], /2 seeds cannot/],
    ['few examples', [1, 2, 3].map((seed) => runOf(seed, 0, 0.01, 8)), /8 held-out examples are too few/],
    ['no gain', [1, 2, 3].map((seed) => ({ ...runOf(seed, 0, 0.01), base: runOf(seed, 0, 0.01).several })), /no gain/],
    [
      'a diverged run',
      [1, 2, 3].map((seed) => ({ ...runOf(seed, 0, 0.01), one: Array(100).fill(Number.NaN) })),
      /not finite/,
    ],
  ])('%s: no verdict, whatever the numbers', (_, runs, reason) => {
    const verdict = judge(runs, { nats: 5 })
    expect(verdict.kind).toBe('not-enough-evidence')
    expect(verdict.missing.map((one) => one.reason).join()).toMatch(reason)
  })
})

describe('best against best', () => {
  const keys = Array.from({ length: 40 }, (_, i) => `k${i}`)
  const heldOut = { keys, tokens: keys.map(() => 1) }
  const validation = validationPart([{ count: 25 }, { count: 15 }], 0)
  const tried = (side: 'one' | 'several', learningRate: number, loss: (i: number) => number) => ({
    side,
    arm: side === 'one' ? '1x3' : '3x1',
    learningRate,
    lambda: 1,
    runs: [{ seed: 0, losses: keys.map((_, i) => loss(i)) }],
  })

  test('half of each client validates, by lot and always the same', () => {
    expect(validation.slice(0, 25).filter(Boolean)).toHaveLength(12)
    expect(validation.slice(25).filter(Boolean)).toHaveLength(7)
    expect(validationPart([{ count: 25 }, { count: 15 }], 0)).toEqual(validation)
    expect(validationPart([{ count: 25 }, { count: 15 }], 1)).not.toEqual(validation)
  })

  test('chooses on validation and tells the test part', () => {
    // The second looks best on validation and is worst on test: what is told must be its test loss.
    const best = bestAgainstBest(
      [
        tried('one', 1e-3, () => 2),
        tried('one', 1e-2, (i) => (validation[i] ? 1 : 5)),
        tried('several', 1e-3, () => 1.5),
      ],
      heldOut,
      validation,
    )!
    expect(best.one).toMatchObject({ learningRate: 1e-2, validation: 1, test: 5 })
    expect(best.difference).toBeCloseTo(3.5, 9)
    expect(best.candidates).toEqual({ one: 2, several: 1 })
    expect([best.validationItems, best.testItems]).toEqual([19, 21])
  })

  test('without a rival there is none', () => {
    expect(bestAgainstBest([tried('one', 1, () => 1)], heldOut, validation)).toBeUndefined()
  })
})
