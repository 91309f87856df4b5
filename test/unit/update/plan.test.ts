import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { OneroundError } from '../../../src/errors.js'
import type { Model } from '../../../src/model/open.js'
import { createPlan } from '../../../src/update/create-plan.js'
import { parsePlan, planSha256, planText, readPlan, resolveLayers, writePlan } from '../../../src/update/plan.js'
import { generator, LINEAR, planJson } from './fixture.js'

// biome-ignore lint/suspicious/noExplicitAny: hostile JSON has no type
type Loose = any
const broken = (change: (json: Loose) => void) => () => parsePlan(planJson(change))
const refused = (run: () => unknown) => {
  try {
    run()
  } catch (error) {
    expect(error).toBeInstanceOf(OneroundError)
    return error as OneroundError
  }
  throw new Error('was not refused')
}

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'plan-'))
})
afterAll(() => rm(folder, { recursive: true }))

const whole = { kind: 'full', tensors: [{ name: 'm.weight', shape: [2, 3] }] }

describe('plan', () => {
  it('round trips with one hash, whatever the order of keys', async () => {
    const plan = parsePlan(planJson())
    await writePlan(join(folder, 'plan.json'), plan)
    expect(await readPlan(join(folder, 'plan.json'))).toEqual(plan)
    const reversed = Object.fromEntries(Object.entries(planJson()).reverse())
    expect(planSha256(parsePlan(reversed))).toBe(planSha256(plan))
    expect(planSha256(parsePlan(planJson((json: Loose) => (json.train.seed = 8))))).not.toBe(planSha256(plan))
    expect(planSha256(parsePlan(planJson((json: Loose) => json.share.reverse())))).toBe(planSha256(plan))
  })

  it.each<[string, (json: Loose) => void, string, RegExp]>([
    ['momentum with adamw', (j) => (j.train.momentum = 0.9), 'MALFORMED', /adamw/],
    ['a compute of another name', (j) => (j.train.compute = 'fp8'), 'UNSUPPORTED', /fp8/],
    ['unknown start', (j) => (j.start = 'warm'), 'UNSUPPORTED', /warm/],
    ['unknown strategy', (j) => (j.strategy = { name: 'fedzzz' }), 'MALFORMED', /strategy/],
    ['a number that a strategy does not take', (j) => (j.strategy = { name: 'fedavg', mu: 1 }), 'MALFORMED', /mu/],
    ['a tau of zero', (j) => (j.strategy = { name: 'fedadam', tau: 0 }), 'MALFORMED', /tau/],
    ['scaffold with adamw', (j) => (j.strategy = { name: 'scaffold' }), 'MALFORMED', /scaffold with adamw/],
    [
      'scaffold with carried factors',
      (j) => {
        j.strategy = { name: 'scaffold' }
        Object.assign(j.train, { optimizer: 'sgd', clipNorm: 0, weightDecay: 0 })
      },
      'MALFORMED',
      /carried factors/,
    ],
    [
      'diloco with sgd',
      (j) => {
        j.strategy = { name: 'diloco' }
        j.train.optimizer = 'sgd'
      },
      'MALFORMED',
      /diloco with sgd/,
    ],
    [
      'running-mean over rounds',
      (j) => {
        j.strategy = { name: 'running-mean' }
        j.rounds = 2
      },
      'MALFORMED',
      /running-mean over 2/,
    ],
    [
      'a server step from stacked factors',
      (j) => {
        j.strategy = { name: 'fedavgm' }
        j.aggregate.method = 'stack'
      },
      'MALFORMED',
      /fedavgm with the method 'stack'/,
    ],
    [
      'a quorum above who is asked',
      (j) => (j.participation = { fraction: 0.5, minimumClients: 2 }),
      'MALFORMED',
      /asks 1 of 2/,
    ],
    ['a fraction of nobody', (j) => (j.participation = { fraction: 0 }), 'MALFORMED', /fraction/],
    ['epochs of nothing', (j) => (j.train.epochs = 0), 'MALFORMED', /epochs/],
    ['fed-sb', (j) => (j.aggregate.method = 'fed-sb'), 'UNSUPPORTED', /not built yet.*fed-sb/],
    ['unknown method', (j) => (j.aggregate.method = 'zzz'), 'UNSUPPORTED', /zzz/],
    ['ffa', (j) => (j.train.trainable.kind = 'ffa'), 'UNSUPPORTED', /not built yet.*ffa/],
    ['layers beside full updates', (j) => (j.train.trainable = whole), 'MALFORMED', /layers beside full/],
    ['fedavg of factors', (j) => (j.aggregate.method = 'fedavg'), 'MALFORMED', /fedavg/],
    ['patience alone', (j) => (j.train.patience = 2), 'MALFORMED', /patience without evaluateEvery/],
    ['no patience', (j) => (j.train.patience = 0), 'MALFORMED', /patience/],
    ['looks that never come', (j) => (j.train.evaluateEvery = 'week'), 'UNSUPPORTED', /evaluateEvery/],
    [
      'looks at nothing',
      (j) => {
        j.train.evaluateEvery = 'epoch'
        j.data.heldOut = 0
      },
      'MALFORMED',
      /nothing held out/,
    ],
    ['a decay of nothing', (j) => (j.train.weightDecayPattern = { nowhere: 0 }), 'NOT_FOUND', /nowhere/],
    ['a decay below 0', (j) => (j.train.weightDecayPattern = { q_proj: -1 }), 'MALFORMED', /weightDecayPattern/],
    ['public key', (j) => (j.clients[0].publicKey = 'x'), 'UNSUPPORTED', /signed updates/],
    ['unknown key', (j) => (j.extra = 1), 'MALFORMED', /extra/],
    ['unknown nested key', (j) => (j.train.trainable.extra = 1), 'MALFORMED', /extra/],
    ['missing field', (j) => delete j.rounds, 'MALFORMED', /rounds/],
    ['scale', (j) => (j.layers[1].scale = 5), 'MALFORMED', /layers\.1/],
    ['rank', (j) => (j.layers[0].rank = 3), 'MALFORMED', /layers\.0/],
    ['rank too high', (j) => (j.layers[0].in = 1), 'ARGUMENT', /rank/],
    ['no layers', (j) => (j.layers = []), 'MALFORMED', /layers/],
    ['layer twice', (j) => j.layers.push(j.layers[1]), 'MALFORMED', /twice/],
    ['zero dimension', (j) => (j.layers[0].in = 0), 'MALFORMED', /layers\.0\.in/],
    ['client path', (j) => (j.clients[0].name = '../a'), 'MALFORMED', /clients\.0\.name/],
    ['client dots', (j) => (j.clients[0].name = '..'), 'MALFORMED', /clients\.0\.name/],
    ['client twice', (j) => (j.clients[1].name = 'A'), 'MALFORMED', /twice/],
    ['weights not shared', (j) => (j.share = []), 'MALFORMED', /weights by examples/],
    ['weights lack a client', (j) => (j.aggregate.weights = { a: 1 }), 'MALFORMED', /'b'/],
    ['weights of a stranger', (j) => (j.aggregate.weights = { a: 1, b: 1, c: 1 }), 'MALFORMED', /'c'/],
    ['hostile pattern', (j) => (j.train.trainable.rankPattern = { '(a+)+': 2 }), 'UNSUPPORTED', /pattern/],
    ['not finite', (j) => (j.train.learningRate = null), 'MALFORMED', /learningRate/],
  ])('refuses %s', (_, change, code, message) => {
    const error = refused(broken(change))
    expect(error.message).toMatch(message)
    expect(error.code).toBe(code)
    expect(error.fix).not.toBe('')
  })

  it('fills in the numbers of a strategy, and has none of its own where none is named', () => {
    const plain = parsePlan(planJson())
    expect(Object.keys(plain)).not.toContain('strategy')
    expect(Object.keys(plain)).not.toContain('participation')
    const adam = parsePlan(planJson((json: Loose) => (json.strategy = { name: 'fedadam', tau: 0.1 })))
    expect(adam.strategy).toEqual({ name: 'fedadam', serverLearningRate: 0.01, beta1: 0.9, beta2: 0.99, tau: 0.1 })
    expect(planSha256(adam)).not.toBe(planSha256(plain))
    const half = parsePlan(planJson((json: Loose) => (json.participation = { fraction: 0.5 })))
    expect(half.participation).toEqual({ fraction: 0.5, minimumClients: 1 })
  })

  it('lists the methods that are built', () => {
    expect(refused(broken((j) => (j.aggregate.method = 'ffa'))).expected).toMatch(/^one of: svd, stack, fedit, /)
  })

  it('survives truncation and flipped characters', () => {
    const text = planText(parsePlan(planJson()))
    const next = generator(11)
    for (let i = 0; i < 300; i++) {
      const at = Math.floor((next() + 0.5) * text.length)
      refused(() => parsePlan(text.slice(0, Math.min(at, text.length - 3))))
      const flipped = text.slice(0, at) + String.fromCharCode(text.charCodeAt(at) ^ (1 << (i % 7))) + text.slice(at + 1)
      try {
        parsePlan(flipped)
      } catch (error) {
        expect(error).toBeInstanceOf(OneroundError)
      }
    }
  })
})

describe('layers', () => {
  const lora = {
    kind: 'lora' as const,
    targets: 'all-linear' as const,
    rank: 4,
    alpha: 8,
    rankPattern: {},
    alphaPattern: {},
    rsLora: false,
    dropout: 0,
    initA: 'kaiming' as const,
  }

  it('takes targets by their end after a dot and refuses others with the list', () => {
    expect(resolveLayers(LINEAR, { ...lora, targets: ['q_proj'] }).map((layer) => layer.name)).toEqual([
      'model.layers.0.x.q_proj',
      'model.layers.1.x.q_proj',
    ])
    const error = refused(() => resolveLayers(LINEAR, { ...lora, targets: ['proj'] }))
    expect(error.expected).toContain('q_proj, v_proj, up_proj')
  })

  it('follows patterns and rsLoRA', () => {
    const layers = resolveLayers(LINEAR, {
      ...lora,
      rankPattern: { 'layers.0.x.q_proj': 1, 'v_.*': 2 },
      alphaPattern: { up_proj: 16 },
      rsLora: true,
    })
    expect(layers.map((layer) => layer.rank)).toEqual([1, 4, 2, 2, 4, 4])
    expect(layers.map((layer) => layer.scale)).toEqual([8, 4, 8 / Math.sqrt(2), 8 / Math.sqrt(2), 8, 8])
    expect(refused(() => resolveLayers(LINEAR, { ...lora, rankPattern: { nothing: 2 } })).message).toContain('nothing')
  })
})

describe('createPlan', () => {
  const base = {
    spec: { maxPositions: 128, linearLayers: LINEAR.map((layer) => ({ ...layer, in: 32, out: 32 })) },
    id: async () => ({ id: 'tiny', sha256: '1'.repeat(64), tokenizerSha256: '2'.repeat(64) }),
  } as unknown as Model

  it('has the defaults it states', async () => {
    const plan = await createPlan(base, { clients: ['a', 'b'] })
    expect(plan.train).toMatchObject({
      epochs: 3,
      batch: 8,
      accumulate: 1,
      learningRate: 3e-4,
      warmup: 0.03,
      clipNorm: 1,
      seed: 0,
      trainable: { rank: 16, alpha: 32 },
    })
    expect(plan.data).toEqual({ template: 'text', cutoff: 128, lossOn: 'all', heldOut: 0.2 })
    expect(plan.layers.every((layer) => layer.rank === 16 && layer.scale === 2)).toBe(true)
    expect(parsePlan(planText(plan))).toEqual(plan)
  })

  it('refuses unknown options and a cutoff beyond the base', async () => {
    await expect(createPlan(base, { ranks: 3 } as never)).rejects.toThrow("'ranks'")
    await expect(createPlan(base, { cutoff: 129 })).rejects.toThrow('cutoff')
    await expect(createPlan(base, { clients: ['a/b'] })).rejects.toThrow('clients.0.name')
  })
})
