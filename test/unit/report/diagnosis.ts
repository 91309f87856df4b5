import type { Diagnosis } from '../../../src/diagnose/types.js'

/** A diagnosis with every measurement in it, as a simulation gives one; the numbers are made up. */
export function someDiagnosis(clients: readonly string[]): Diagnosis {
  const estimate = (mean: number) => ({
    draws: 8,
    mean,
    medianOfMeans: mean * 0.95,
    interval: { low: mean * 0.8, high: mean * 1.2 },
  })
  const layers = ['q_proj', 'v_proj'].flatMap((part, at) =>
    [0, 1, 2, 3].map((block) => ({ name: `model.layers.${block}.self_attn.${part}`, at: 0.01 * (1 + block + at) })),
  )
  const pairs = clients.flatMap((_, i) => clients.slice(i + 1).map((__, j) => 0.7 - 0.05 * (i + j)))
  return {
    version: 1,
    evidence: 'simulation',
    plan: {
      sha256: 'c'.repeat(64),
      base: 'tiny',
      clients: clients.length,
      rounds: 1,
      epochs: 3,
      learningRate: 3e-4,
      optimizer: 'adamw',
      trainable: 'lora',
    },
    travel: {
      tau: 0.021,
      distance: 2.1,
      baseNorm: 100,
      layers: layers.map(({ name, at }) => ({ name, tau: at })),
      path: [0, 4, 8, 12].map((step) => ({ step, tau: step / 600 })),
      of: { what: '1x3' },
    },
    smoothness: {
      ends: estimate(3.1),
      neighbours: estimate(2.2),
      random: estimate(0.4),
      layers: layers.map(({ name, at }) => ({ name, mean: 50 * at, draws: 8 })),
      settled: false,
      target: 0.2,
    },
    curvature: { alongPath: estimate(1.4), turn: estimate(0.6), alignment: estimate(0.7) },
    noise: { relativeVariance: 2.5, batches: 8 },
    disagreement: { value: 0.8, clients: [], examplesEach: 'all' },
    similarity: {
      clients: clients.map((client, at) => ({
        client,
        norm: 1.9,
        effectiveRank: 5.5,
        toAggregate: 0.8,
        ...(at === 0 ? { outlier: 'norm far above the median' } : {}),
      })),
      compared: [...clients],
      cosines: pairs,
      meanCosine: 0.6,
      retention: 0.8,
      effectiveRank: 9.5,
      errors: { svd: 0.05, fedit: 0.4 },
    },
    gap: {
      one: '1x3',
      several: '3x1',
      epsilon: 1.1,
      relative: 0.5,
      layers: [],
      line: [0, 0.5, 1].map((t) => ({ t, loss: 3.2 - t / 10 })),
    },
    bounds: {
      published: 5e5,
      rederived: 12,
      inputs: { L: 3.1, tau: 0.021, rounds: 3, steps: 4, clients: clients.length, eta: 3e-4, baseNorm: 100 },
      holds: false,
    },
    lambda: {
      points: [0, 0.5, 1, 1.5, 2].map((lambda) => ({
        lambda,
        validation: 3.2 + (lambda - 1.3) ** 2 / 5,
        test: 3.25 + (lambda - 1.3) ** 2 / 5,
      })),
      best: { lambda: 1.5, validation: 3.2, test: 3.25 },
      atOne: { test: 3.27 },
      perLayer: {
        lambdas: layers.map(({ name, at }) => ({ name, lambda: 1 + at })),
        validation: 3.19,
        test: 3.24,
        steps: 20,
      },
    },
    cost: {
      links: { upMbit: 20, downMbit: 100, spread: 0.5 },
      rows: [
        { what: '1x3', rounds: 1, bytesUp: 1.5e6, bytesDown: 2e6, computeSeconds: 30, linkSeconds: 2, waitSeconds: 20 },
        { what: '3x1', rounds: 3, bytesUp: 4.5e6, bytesDown: 9e6, computeSeconds: 30, linkSeconds: 7, waitSeconds: 31 },
      ],
      secondsEach: 30,
      measured: 'the clients of this run',
    },
    comparison: {
      one: '1x3',
      several: '3x1',
      seeds: [0, 1, 2],
      items: 300,
      difference: 0.012,
      interval: { low: 0.002, high: 0.022 },
      errors: { items: 0.004, seeds: 0.003, freedom: 2 },
      perSeed: [0, 1, 2].map((seed) => ({ seed, base: 4, one: 3.2, several: 3.19, difference: 0.01 + seed / 1000 })),
      gain: 0.8,
      margin: 0.016,
      marginShare: 0.02,
      belowMargin: 0.7,
      bytesSaved: 9e6,
      bytesShare: 0.7,
    },
    best: { unknown: 'one learning rate only' },
    features: {},
    verdict: {
      kind: 'not-enough-evidence',
      sentence: 'The interval of the difference holds the margin.',
      numbers: [{ name: 'difference', value: 0.012 }],
      missing: [{ reason: 'three seeds are too few for this margin', enough: 'seven seeds' }],
      wouldChange: ['lambda 1.5 gains 0.02'],
    },
    spent: { rows: 100, trainingRows: 10_000, share: 0.01, limit: 0.05, unsettled: ['L to 20 %'] },
    notes: [],
  }
}
