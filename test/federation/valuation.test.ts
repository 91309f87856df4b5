/** Clients are valued from their updates alone, on real training of a random base. */
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Adapter, makeAdapter } from '../../src/adapter/adapter.js'
import { openAggregator } from '../../src/aggregate/aggregator.js'
import { toBatch } from '../../src/data/batches.js'
import { type Dataset, makeDataset } from '../../src/data/dataset.js'
import { evaluate } from '../../src/evaluate/evaluate.js'
import { simulate } from '../../src/federation/simulate.js'
import { valueRun } from '../../src/federation/value-run.js'
import { openModel } from '../../src/model/open.js'
import { type Start, startOfRound } from '../../src/train/start.js'
import { train } from '../../src/train/train.js'
import type { Plan } from '../../src/update/plan.js'
import { makeUpdate, type Update } from '../../src/update/update.js'
import { coefficientsOf } from '../../src/valuation/coalition-losses.js'
import { openMixture } from '../../src/valuation/mixture.js'
import { readValuation, type Valuation } from '../../src/valuation/valuation.js'
import { valueClients } from '../../src/valuation/value-clients.js'
import { sharedFile, skipReason } from '../golden/shared-files.js'
import { settings, type TinyFederation, tinyFederation } from './tiny.js'

const size = { threads: 1, rowsPerPass: 256, longestExample: 64 }
const names = ['north', 'east', 'south', 'west']

let tiny: TinyFederation
/** a plan without client names, so that a test may add clients */
let plan: Plan
let start: Start
let honest: Update[]
let text: Dataset
beforeAll(async () => {
  tiny = await tinyFederation({}, names)
  plan = await tiny.planOf({ clients: [], weights: 'uniform', epochs: 3 })
  start = startOfRound(plan, 1, undefined)
  honest = []
  for (const client of names) honest.push(await train(tiny.base, tiny.clients[client]!, plan, { client }))
  text = heldOut(tiny.clients)
})
afterAll(() => tiny[Symbol.asyncDispose]())

function heldOut(clients: Record<string, Dataset>): Dataset {
  return makeDataset(Object.values(clients).flatMap((data) => [...data.heldOut(settings.heldOut).heldOut.examples]))
}

const as = (client: string, { info, adapter }: Update, change: (adapter: Adapter) => Adapter = (same) => same) =>
  makeUpdate({ ...info, client }, change(adapter))
const flipped = (adapter: Adapter) =>
  makeAdapter(adapter.layers.map((layer) => ({ ...layer, b: layer.b.map((value) => -value) })))
/** Noise of the same size as what was trained, seeded. */
function noise(adapter: Adapter): Adapter {
  let state = 99
  const next = () => {
    state = (state * 48271) % 2147483647
    return state / 2147483647 - 0.5
  }
  return makeAdapter(
    adapter.layers.map((layer) => {
      const norm = (values: Float32Array) => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0))
      const like = (values: Float32Array) => {
        const random = values.map(next)
        return random.map((value) => (value * norm(values)) / norm(random))
      }
      return { ...layer, a: like(layer.a), b: like(layer.b) }
    }),
  )
}
const value = (updates: Update[], o: Parameters<typeof valueClients>[5] = {}, data = text) =>
  valueClients(tiny.base, plan, start, updates, data, { threads: 2, ...o })
const of = (valuation: Valuation, client: string) => valuation.clients.find((one) => one.client === client)!
const valueSum = ({ clients }: Valuation) => clients.reduce((sum, { shapley }) => sum + shapley, 0)

describe('a duplicate, a noisy and a sign-flipped client', () => {
  let valuation: Valuation
  beforeAll(async () => {
    const [north, east, south, west] = honest as [Update, Update, Update, Update]
    // The twin trained by itself, on the same data.
    const twin = await train(tiny.base, tiny.clients.south!, plan, { client: 'twin' })
    valuation = await value([north, east, south, west, twin, as('noise', east, noise), as('flip', west, flipped)], {
      learn: ['weights', 'lambda'],
    })
  })
  const found = (rule: string) => valuation.findings.filter((finding) => finding.rule === rule)

  it('are found, the flipped one by a negative value, as is its leave-one-out', () => {
    expect(of(valuation, 'flip').shapley).toBeLessThan(0)
    expect(of(valuation, 'flip').leaveOneOut).toBeLessThan(0)
    expect(found('harms').map(({ clients }) => clients)).toContainEqual(['flip'])
    expect(of(valuation, 'flip').interval![1]).toBeLessThan(0)
  })

  it('are found, noise by a value that is not above 0', () => {
    expect(of(valuation, 'noise').interval![0]).toBeLessThanOrEqual(0)
    expect([...found('harms'), ...found('no-value')].map(({ clients }) => clients)).toContainEqual(['noise'])
  })

  it('are found, the duplicate by the same direction and the same value', () => {
    expect(found('duplicate').map(({ clients }) => clients)).toEqual([['south', 'twin']])
    expect(of(valuation, 'twin').nearest!.client).toBe('south')
    expect(of(valuation, 'twin').nearest!.cosine).toBeGreaterThan(0.999999)
    expect(of(valuation, 'twin').shapley).toBeCloseTo(of(valuation, 'south').shapley, 6)
  })

  it('and every honest client has a value above 0', () => {
    for (const client of names) expect(of(valuation, client).interval![0], client).toBeGreaterThan(0)
    for (const client of names)
      for (const rule of ['harms', 'no-value'])
        expect(found(rule).map(({ clients }) => clients[0])).not.toContain(client)
  })

  it('sum to what all together add', () => {
    expect(valueSum(valuation)).toBeCloseTo(valuation.baseLoss - valuation.loss, 10)
    expect(valuation).toMatchObject({ method: 'exact', evaluations: 2 ** 7, round: 1 })
  })

  it('and learned weights leave the flipped and the noisy one out, which helps on text that was not fitted', () => {
    const { weights, fit, test, lambda } = valuation.learned[0]!
    expect(weights.flip).toBe(0)
    expect(weights.noise).toBeLessThan(0.02)
    expect(Object.values(weights).reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(1, 12)
    expect(fit.after).toBeLessThan(fit.before)
    expect(test.after).toBeLessThan(test.before - 2 * test.standardError!)
    expect(lambda).toBe(1)
    expect(fit.tokens + test.tokens).toBe(valuation.data.tokens)
  })

  it('and a learned lambda makes up for what the flipped one takes back', () => {
    const { lambda, fit, test, weights } = valuation.learned[1]!
    expect(lambda).toBeGreaterThan(1)
    expect(fit.after).toBeLessThan(fit.before)
    expect(test.after).toBeLessThan(test.before)
    for (const weight of Object.values(weights)) expect(weight).toBeCloseTo(1 / 7, 12)
  })
})

describe('a coalition', () => {
  it('has the loss of the exact sum of its members, its weights renormalised', async () => {
    const weights = [0.4, 0.3, 0.2, 0.1]
    const members = honest.filter((_, i) => i !== 1)
    const aggregator = await openAggregator(plan)
    for (const update of members) await aggregator.add(update)
    const { adapter } = await aggregator.finish({ method: 'stack', weights: { north: 0.4, south: 0.2, west: 0.1 } })
    const { loss } = await evaluate(tiny.base, text, { adapter, threads: 1 })
    expect(coefficientsOf('1011', weights)).toEqual([0.4, 0, 0.2, 0.1].map((w) => w / (0.4 + 0.2 + 0.1)))
    using mixture = openMixture(tiny.base, start, honest, { ...size, training: false })
    mixture.set(coefficientsOf('1011', weights))
    const { losses, tokens } = await mixture.session.evaluate(toBatch(text.examples))
    const sum = losses.reduce((a, b) => a + b, 0) / tokens.reduce((a, b) => a + b, 0)
    expect(Math.abs(sum - loss) / loss).toBeLessThan(1e-6)
  })

  it('of nobody is the base, also where its members weigh nothing', async () => {
    expect(coefficientsOf('0000', [0.5, 0, 0.5, 0])).toEqual([0, 0, 0, 0])
    expect(coefficientsOf('0101', [0.5, 0, 0.5, 0])).toEqual([0, 0, 0, 0])
    const valuation = await value(honest)
    expect(valuation.baseLoss).toBeCloseTo((await evaluate(tiny.base, text, {})).loss, 6)
  })

  it("weighs its members by the plan's table", async () => {
    const weights = { north: 7, east: 1, south: 1, west: 1 }
    const table = await tiny.planOf({ epochs: 3, weights })
    const updates: Update[] = []
    for (const client of names) updates.push(await train(tiny.base, tiny.clients[client]!, table, { client }))
    const valuation = await valueClients(tiny.base, table, startOfRound(table, 1, undefined), updates, text)
    expect(of(valuation, 'north').weight).toBeCloseTo(0.7, 12)
    const aggregator = await openAggregator(table)
    for (const update of updates) await aggregator.add(update)
    const { adapter } = await aggregator.finish({ method: 'stack' })
    expect(valuation.loss).toBeCloseTo((await evaluate(tiny.base, text, { adapter })).loss, 6)
  })

  it('does not depend on the order of the updates or the threads', async () => {
    const one = await value(honest, { threads: 1 })
    expect(await value([...honest].reverse(), { threads: 2 })).toEqual(one)
  })
})

/** Slopes against central differences of the same loss. */
async function expectSlopes(of: Plan, from: Start, updates: Update[], data: Dataset, base = tiny.base): Promise<void> {
  using mixture = openMixture(base, from, updates, { ...size, training: true })
  const at = [0.5, 0.2, 0.1, 0.4].slice(0, updates.length)
  const loss = async (coefficients: number[]) => {
    mixture.set(coefficients)
    const { losses, tokens } = await mixture.session.evaluate(toBatch(data.examples))
    return losses.reduce((a, b) => a + b, 0) / tokens.reduce((a, b) => a + b, 0)
  }
  mixture.set(at)
  const { gradient } = await mixture.session.gradient(toBatch(data.examples), of.train.seed)
  const slopes = mixture.slopes(gradient)
  expect(slopes).toHaveLength(updates.length)
  for (const [i, slope] of slopes.entries()) {
    const step = 0.02
    const up = await loss(at.map((c, k) => (k === i ? c + step : c)))
    const down = await loss(at.map((c, k) => (k === i ? c - step : c)))
    expect(Math.abs(slope - (up - down) / (2 * step))).toBeLessThan(2e-3 * Math.max(...slopes.map(Math.abs)))
  }
}

describe('the slope of the loss along a client', () => {
  it('is that of the loss itself, with factors', () => expectSlopes(plan, start, honest, text))

  it('in a later round, whose start counts what the clients do not', async () => {
    const two = await tiny.planOf({ rounds: 2, epochs: 1, clients: [], weights: 'uniform' })
    const first = startOfRound(two, 1, undefined)
    const aggregator = await openAggregator(two)
    for (const client of names) await aggregator.add(await train(tiny.base, tiny.clients[client]!, two, { client }))
    // Served and not exact: any adapter of the plan's layers may start a round.
    const { adapter } = await aggregator.finish({ method: 'stack' })
    const second = startOfRound(two, 2, adapter)
    expect(first.round).toBe(1)
    const updates: Update[] = []
    for (const client of names)
      updates.push(await train(tiny.base, tiny.clients[client]!, two, { client, round: 2, start: adapter }))
    await expectSlopes(two, second, updates, text)
    const valuation = await valueClients(tiny.base, two, second, updates, text)
    expect(valuation.baseLoss).toBeCloseTo((await evaluate(tiny.base, text, { adapter })).loss, 6)
    expect(valuation.round).toBe(2)
    expect(valueSum(valuation)).toBeCloseTo(valuation.baseLoss - valuation.loss, 10)
  })

  it('with whole tensors', async () => {
    const { targets: _, rank: __, alpha: ___, dropout: ____, ...rest } = settings
    const { createPlan } = await import('../../src/update/create-plan.js')
    const full = await createPlan(tiny.base, { ...rest, trainable: 'full', learningRate: 3e-3, weights: 'uniform' })
    const from = startOfRound(full, 1, undefined)
    const updates: Update[] = []
    for (const client of names) updates.push(await train(tiny.base, tiny.clients[client]!, full, { client }))
    await expectSlopes(full, from, updates, text)
    const negative = makeUpdate(
      { ...updates[0]!.info, client: 'flip' },
      makeAdapter(
        [],
        updates[0]!.adapter.dense.map((delta) => ({ ...delta, values: delta.values.map((x) => -x) })),
      ),
    )
    const valuation = await valueClients(tiny.base, full, from, [...updates.slice(1), negative], text)
    expect(valuation.findings.filter(({ rule }) => rule === 'harms').map(({ clients }) => clients)).toEqual([['flip']])
    expect(valueSum(valuation)).toBeCloseTo(valuation.baseLoss - valuation.loss, 10)
  })

  const gpt2 = 'golden/tiny/gpt2/model'
  it.skipIf(skipReason(gpt2) !== undefined)('of a base whose matrices lie the other way round', async () => {
    await using base = await openModel(sharedFile(gpt2)!)
    const { createPlan } = await import('../../src/update/create-plan.js')
    const vocabulary = Math.min(base.spec.shape.vocabulary, 200)
    const examples = Array.from({ length: 6 }, (_, id) => {
      const ids = Int32Array.from({ length: 12 }, (__, t) => (id * 31 + t * t * 7) % vocabulary)
      return { id, ids, labels: Int32Array.from(ids, (___, t) => ids[t + 1] ?? -100), characters: 12 }
    })
    const data = makeDataset(examples)
    const full = await createPlan(base, {
      trainable: 'full',
      epochs: 2,
      batch: 2,
      learningRate: 1e-2,
      weights: 'uniform',
      heldOut: 0,
      share: [],
    })
    const updates: Update[] = []
    for (const [i, client] of ['a', 'b'].entries())
      updates.push(await train(base, makeDataset(examples.slice(i * 3, i * 3 + 3)), full, { client }))
    await expectSlopes(full, startOfRound(full, 1, undefined), updates, data, base)
  })
})

describe('sampled orders', () => {
  it('give values about the exact ones, which sum to the same', async () => {
    const exact = await value(honest)
    const sampled = await value(honest, { samples: 9 })
    expect(sampled).toMatchObject({ method: 'sampled', samples: 10 })
    expect(sampled.evaluations).toBeLessThanOrEqual(exact.evaluations)
    expect(valueSum(sampled)).toBeCloseTo(valueSum(exact), 10)
    for (const { client, samplingInterval, interval, shapley } of sampled.clients) {
      const [low, high] = samplingInterval!
      const own = of(exact, client)
      // Four clients, nine orders: wide, and wider together with the text.
      expect(Math.abs(own.shapley - shapley)).toBeLessThan(2 * (high - shapley))
      expect(interval![0]).toBeLessThan(low)
      expect(own.samplingInterval).toBeUndefined()
      expect(own.leaveOneOut).toBe(of(sampled, client).leaveOneOut)
    }
    expect(await value(honest, { samples: 9 })).toEqual(sampled)
  })
})

describe('coalitions that are kept', () => {
  const folder = () => join(tiny.folder, 'values')
  const file = () => join(folder(), readdirSync(folder())[0]!)
  const lines = () => readFileSync(file(), 'utf8').trimEnd().split('\n')
  it('are not evaluated again after a stop, and the values have the same bits', async () => {
    const whole = await value(honest)
    const controller = new AbortController()
    let rounds = 0
    const onProgress = () => {
      if (++rounds === 5) controller.abort()
    }
    await expect(value(honest, { keep: folder(), signal: controller.signal, onProgress })).rejects.toMatchObject({
      code: 'ABORTED',
    })
    const kept = lines().length - 1
    expect(kept).toBeGreaterThan(0)
    expect(kept).toBeLessThan(16)
    // A killed process tears the last line.
    writeFileSync(file(), `${lines().join('\n')}\n{"event":"coali`)
    expect(await value(honest, { keep: folder() })).toEqual(whole)
    expect(lines()).toHaveLength(1 + 16)
    expect(new Set(lines().map((line) => (JSON.parse(line) as { coalition?: string }).coalition)).size).toBe(17)
    // Nothing is left to evaluate: not a row is read.
    let read = 0
    await value(honest, { keep: folder(), onProgress: () => void read++ })
    expect(read).toBe(0)
    expect(readdirSync(folder())).toHaveLength(1)
  })

  it('of other text or weights are another game, in another file', async () => {
    await value(honest, { keep: folder() }, makeDataset(text.examples.slice(1)))
    await value(honest.slice(1), { keep: folder() })
    expect(readdirSync(folder())).toHaveLength(3)
    rmSync(folder(), { recursive: true })
    await value(honest, { keep: folder() })
  })

  it.each<[string, (all: string[]) => string[], string]>([
    ['another game', ([game, ...rest]) => [game!.replace(/"sha256":"./, '"sha256":"x'), ...rest], 'MISMATCH'],
    ['no game', ([, ...rest]) => rest, 'MALFORMED'],
    [
      'a coalition of other clients',
      ([game, line, ...rest]) => [game!, line!.replace(/"coalition":"/, '"coalition":"1'), ...rest],
      'MALFORMED',
    ],
    ['a coalition twice', (all) => [...all, all[1]!], 'MALFORMED'],
    [
      'a loss below 0',
      ([game, line, ...rest]) => [game!, line!.replace('"losses":[', '"losses":[-'), ...rest],
      'MALFORMED',
    ],
    [
      'a loss that is no number',
      ([game, line, ...rest]) => [game!, line!.replace(/"losses":\[[^,]*/, '"losses":["1"'), ...rest],
      'MALFORMED',
    ],
    [
      'too few losses',
      ([game, line, ...rest]) => [game!, line!.replace(/"losses":\[[^\]]*/, '"losses":[1'), ...rest],
      'MALFORMED',
    ],
    ['no JSON', (all) => [...all, '{'], 'MALFORMED'],
  ])('are refused where the file holds %s', async (_what, change, code) => {
    const good = readFileSync(file(), 'utf8')
    writeFileSync(file(), `${change(lines()).join('\n')}\n`)
    await expect(value(honest, { keep: folder() })).rejects.toMatchObject({ code })
    writeFileSync(file(), good)
  })
})

describe('what cannot be valued is refused', () => {
  it.each<[string, () => Promise<unknown>, string]>([
    ['no updates', () => value([]), 'ARGUMENT'],
    ['a client twice', () => value([honest[0]!, honest[0]!]), 'REFUSED'],
    ['no text', () => value(honest, {}, makeDataset([])), 'ARGUMENT'],
    ['no samples', () => value(honest, { samples: 0 }), 'ARGUMENT'],
    ['half a sample', () => value(honest, { samples: 1.5 }), 'ARGUMENT'],
    [
      'too little text to learn',
      () => value(honest, { learn: ['weights'] }, makeDataset(text.examples.slice(0, 3))),
      'ARGUMENT',
    ],
    ['updates of another round', () => valueClients(tiny.base, plan, { ...start, round: 2 }, honest, text), 'REFUSED'],
    ['a device that is not built', () => value(honest, { device: 'cuda' }), 'UNSUPPORTED'],
  ])('%s', async (_what, call, code) => {
    await expect(call()).rejects.toMatchObject({ code })
  })
})

describe('a run', () => {
  const folder = () => join(tiny.folder, 'run')
  let two: Plan
  beforeAll(async () => {
    two = await tiny.planOf({ rounds: 2, epochs: 1, clients: names })
    await simulate(tiny.base, tiny.clients, two, { folder: folder(), compare: ['1x2', '2x1'] })
  })

  it('is valued on the held-out part of its own data: all of its clients add what its arm gained', async () => {
    const { arms } = await simulate(tiny.base, tiny.clients, two, {
      folder: folder(),
      compare: ['1x2', '2x1'],
      resume: true,
    })
    const { valuation, arm, file, own } = await valueRun(folder(), tiny.base, tiny.clients, { ownData: true })
    expect(arm).toBe('2x1')
    expect(own).toEqual([...names].sort())
    expect(await readValuation(file)).toEqual(JSON.parse(JSON.stringify(valuation)))
    expect(valuation.round).toBe(2)
    expect(existsSync(join(folder(), 'values'))).toBe(true)
    // The served adapter is the best of a given rank and not the exact sum.
    const served = arms.find(({ name }) => name === '2x1')!.overall
    expect(valuation.data.tokens).toBe(served.tokens)
    expect(Math.abs(valuation.loss - served.loss)).toBeLessThan(0.02)
  })

  it('in one round starts from the base', async () => {
    const { valuation } = await valueRun(folder(), tiny.base, { other: text }, { arm: '1x2' })
    expect(valuation.baseLoss).toBeCloseTo((await evaluate(tiny.base, text, {})).loss, 6)
  })

  it('is refused without the arm, with changed updates, or with data that are not its own', async () => {
    await expect(valueRun(folder(), tiny.base, tiny.clients, { arm: '1x9' })).rejects.toMatchObject({
      code: 'NOT_FOUND',
    })
    await expect(valueRun(tiny.folder, tiny.base, tiny.clients)).rejects.toMatchObject({ code: 'NOT_FOUND' })
    await expect(valueRun(folder(), tiny.base, { other: text }, { ownData: true })).rejects.toMatchObject({
      code: 'MISMATCH',
    })
    const update = join(folder(), 'updates', '1x2', '1', 'north.update.safetensors')
    const good = readFileSync(update)
    writeFileSync(update, good.subarray(0, good.length - 4))
    await expect(valueRun(folder(), tiny.base, tiny.clients, { arm: '1x2' })).rejects.toMatchObject({ code: 'REFUSED' })
    writeFileSync(update, good)
  })

  it("is refused where its server does not serve the clients' mean", async () => {
    const own = await tiny.planOf({ strategy: 'fedavgm', rounds: 1, epochs: 1 })
    const place = `${tiny.folder}/momentum`
    await simulate(tiny.base, tiny.clients, own, { folder: place, compare: ['1x1'] })
    await expect(valueRun(place, tiny.base, tiny.clients)).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      found: 'strategy fedavgm',
    })
  })

  it('has a valuation that is checked when it is read', async () => {
    const file = join(folder(), 'valuation.json')
    const good = readFileSync(file, 'utf8')
    for (const bad of [
      '{',
      '[]',
      good.replace('"exact"', '"guessed"'),
      good.replace(/"shapley": [^,]*/, '"shapley": "much"'),
    ]) {
      writeFileSync(file, bad)
      await expect(readValuation(file)).rejects.toMatchObject({ code: expect.stringMatching(/MALFORMED|UNSUPPORTED/) })
    }
    await expect(readValuation(join(folder(), 'none.json'))).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })
})
