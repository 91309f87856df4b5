import { describe, expect, test } from 'vitest'
import { calibrationOf } from '../../../src/diagnose/calibrate/calibrate.js'
import type { FederationRecord } from '../../../src/diagnose/calibrate/federation.js'
import { fitLogistic } from '../../../src/diagnose/calibrate/fit.js'
import { chosenFeatures, thresholdsOf } from '../../../src/diagnose/calibrate/judge-rule.js'
import { drawFederation, SPACE } from '../../../src/diagnose/calibrate/space.js'
import { type Calibration, probabilityOf, verdictOfRule } from '../../../src/diagnose/rule.js'
import type { Diagnosis } from '../../../src/diagnose/types.js'
import { native } from '../../../src/native/load.js'

/** Federations whose truth is the sign of the turn: beyond -0.5, several rounds are needed. */
function record(index: number): FederationRecord {
  const [turn, other, rate] = native().random(3, index, 4, 'uniform')
  const logTurn = -2 * turn!
  const suffices = logTurn < -0.5
  const shared = { logHorizon: 0.5, logClients: 0.6, logRate: -3 + rate!, logTau: -3 + other!, logTurn, alignment: 0.5 }
  return {
    spec: drawFederation(0, index),
    truth: suffices ? 'one-round-suffices' : 'several-rounds-needed',
    below: suffices ? 0.99 : 0.01,
    comparison: null,
    features: {
      client: shared,
      updates: { ...shared, meanCosine: suffices ? 0.9 : 0.2, retention: 0.8, logRank: 1 },
      losses: {
        ...shared,
        meanCosine: suffices ? 0.9 : 0.2,
        retention: 0.8,
        lambda: 1,
        lambdaLoss: suffices ? 0 : 0.2,
      },
    },
    seconds: 1,
  }
}
const provenance = { seed: 0, commit: 'none', base: 'none' }
const learned = (): Calibration =>
  calibrationOf(
    Array.from({ length: 80 }, (_, i) => record(i)),
    provenance,
  )

/** As much of a diagnosis as a rule reads. */
function of(features: Record<string, number>, trainable: Diagnosis['plan']['trainable'] = 'lora') {
  const sizes = { clients: 2, rounds: 1, epochs: 2, learningRate: 1e-3 }
  return { features, plan: { sha256: '', base: 'tiny', optimizer: 'adamw', trainable, ...sizes } as const }
}

describe('a logistic fit', () => {
  test('finds the direction that decides, and leaves alone what never changes', () => {
    const rows = Array.from({ length: 60 }, (_, i) => ({ x: (i - 30) / 10, flat: 7 }))
    const { features, bias } = fitLogistic(
      ['x', 'flat'],
      rows,
      rows.map(({ x }) => 1 / (1 + Math.exp(-2 * x))),
    )
    expect(features[0]!.weight / features[0]!.scale).toBeGreaterThan(1)
    expect(Math.abs(features[1]!.weight)).toBeLessThan(1e-9)
    expect(probabilityOf({ features, bias }, { x: 0.0, flat: 7 })).toBeCloseTo(0.5, 1)
  })

  test('thresholds speak only where they are right nine times in ten, of more than one lucky case', () => {
    const told = Array.from({ length: 40 }, (_, i) => ({ p: 0.3 + i / 100, truth: i % 2 === 1 }))
    expect(thresholdsOf(told)).toEqual({ suffices: null, needed: null })
    const split = told.map(({ p }) => ({ p, truth: p > 0.5 }))
    expect(thresholdsOf(split).suffices).toBeGreaterThan(0.5)
    expect(thresholdsOf(split).needed).toBeLessThan(0.5)
    expect(thresholdsOf(split, false).suffices).toBeNull()
  })
})

describe('a calibration', () => {
  test('learns a separable truth, is judged on the unseen half, and beats saying always the same', () => {
    const { rules, provenance: origin } = learned()
    expect(origin.federations).toBe(80)
    const client = rules.find((rule) => rule.evidence === 'client')!
    expect(client.evaluation.federations).toBe(40)
    expect(client.evaluation.precision).toBeGreaterThan(0.9)
    expect(client.evaluation.brier).toBeLessThan(client.evaluation.alwaysSuffices.brier / 2)
    expect(client.evaluation.brier).toBeLessThan(client.evaluation.tauOnly.brier / 2)
    expect(client.evaluation.curve.reduce((sum, bin) => sum + bin.count, 0)).toBe(40)
  })

  test('takes the features that predict what they were not fitted on, and no more than three', () => {
    const seen = Array.from({ length: 40 }, (_, i) => record(i)).map(({ features, below }) => ({
      features: features.client,
      below: below!,
      truth: below! > 0.5,
    }))
    const chosen = chosenFeatures(['logTau', 'logTurn', 'logRate', 'logClients', 'logHorizon'], seen)
    expect(chosen).toContain('logTurn')
    expect(chosen.length).toBeLessThanOrEqual(3)
  })

  test('two federations teach nothing', () => {
    expect(calibrationOf([record(0), record(1)], provenance).rules).toEqual([])
  })

  test('the space is drawn evenly, by seed', () => {
    const drawn = Array.from({ length: 300 }, (_, i) => drawFederation(1, i))
    expect(drawFederation(1, 7)).toEqual(drawn[7])
    for (const clients of SPACE.clients) {
      const part = drawn.filter((spec) => spec.clients === clients).length
      expect(part).toBeGreaterThan(70)
      expect(part).toBeLessThan(130)
    }
    const [least, most] = SPACE.learningRate
    expect(drawn.every(({ learningRate }) => learningRate >= least && learningRate <= most)).toBe(true)
  })
})

describe('a rule', () => {
  const good = {
    logHorizon: 0.5,
    logClients: 0.6,
    logTau: -2.5,
    logTurn: -1.9,
    meanCosine: 0.9,
    retention: 0.8,
    logRate: -2.5,
    lambda: 1,
    lambdaLoss: 0,
  }
  const bad = { ...good, logTurn: -0.05, meanCosine: 0.2, lambdaLoss: 0.2 }

  test('speaks for either side, with its probability', () => {
    expect(verdictOfRule('client', of(good), learned())).toMatchObject({ kind: 'one-round-suffices' })
    expect(verdictOfRule('client', of(bad), learned())).toMatchObject({ kind: 'several-rounds-needed' })
    expect(verdictOfRule('losses', of(good), learned()).kind).toBe('one-round-suffices')
  })

  test('updates alone never say that one round suffices', () => {
    const all = learned()
    expect(verdictOfRule('updates', of(good), all).kind).toBe('not-enough-evidence')
    const careless = { ...all, rules: all.rules.map((rule) => ({ ...rule, suffices: 0, needed: null })) }
    expect(verdictOfRule('updates', of(good), careless).kind).toBe('not-enough-evidence')
    expect(verdictOfRule('updates', of(bad), all).kind).toBe('several-rounds-needed')
  })

  test('is silent without a calibration or a feature', () => {
    expect(verdictOfRule('client', of(good), undefined).missing[0]?.reason).toMatch(/no calibrated rule/)
    expect(verdictOfRule('client', of(good, 'full'), learned()).missing[0]?.reason).toMatch(/LoRA.*trains 'full'/)
    const { logTurn: _, ...less } = good
    expect(verdictOfRule('client', of(less), learned()).missing[0]?.reason).toMatch(/needs logTurn/)
  })
})
