/** Strategies, starts and the ablation as whole federations of a tiny base. */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ArmName } from '../../src/federation/arms.js'
import { type SimulateOptions, simulate } from '../../src/federation/simulate.js'
import { combine } from '../../src/federation/strategies/combination.js'
import { readMetrics } from '../../src/run/metrics.js'
import { startOfRound } from '../../src/train/start.js'
import { train } from '../../src/train/train.js'
import type { PlanOptions } from '../../src/update/create-plan.js'
import type { Plan } from '../../src/update/plan.js'
import { bits, distance, effects, type TinyFederation, tinyFederation } from './tiny.js'

let tiny: TinyFederation
beforeAll(async () => {
  tiny = await tinyFederation({ rounds: 2, epochs: 1 })
})
afterAll(() => tiny[Symbol.asyncDispose]())

/** Full rank: nothing is lost between what the server has and what it serves. */
const exactly = { aggregateRank: 16 }

async function arm(name: ArmName, plan: Plan, o: SimulateOptions = {}) {
  const { arms, adapter } = await simulate(tiny.base, tiny.clients, plan, { threads: 2, ...o, compare: [name] })
  return { arm: arms[0]!, adapter }
}

const planOf = (o: PlanOptions = {}) => tiny.planOf({ rounds: 2, epochs: 1, ...exactly, ...o })

describe('rules between rounds', () => {
  it('fedavg is what a plan without a strategy does', async () => {
    const plain = await arm('2x1', await planOf())
    expect(plain.arm).toMatchObject({ name: '2x1', strategy: 'fedavg', start: 'carried' })
    expect(plain.arm.ablation).toBeUndefined()
    expect(bits((await arm('2x1:fedavg', await planOf())).adapter)).toEqual(bits(plain.adapter))
    expect(bits((await arm('2x1', await planOf({ strategy: 'fedavg' }))).adapter)).toEqual(bits(plain.adapter))
    const still = await arm('2x1', await planOf({ strategy: 'fedavgm', serverMomentum: 0 }))
    expect(distance(still.adapter, plain.adapter)).toBeLessThan(1e-5)
  })

  it('a strategy without momentum differs, and momentum differs again', async () => {
    const plain = (await arm('2x1', await planOf())).adapter
    const half = await arm('2x1', await planOf({ serverLearningRate: 0.5 }))
    const momentum = await arm('2x1:fedavgm', await planOf())
    expect(momentum.arm).toMatchObject({ name: '2x1:fedavgm', strategy: 'fedavgm' })
    for (const other of [half, momentum]) expect(distance(other.adapter, plain)).toBeGreaterThan(0.05)
  })

  it('one round of diloco is the mean times 1.33', async () => {
    const mean = (await arm('1x2', await planOf())).adapter
    const diloco = (await arm('1x2:diloco', await planOf())).adapter
    const scaled = await combine([{ weight: 1.33, adapter: mean }])
    expect(distance(diloco, scaled)).toBeLessThan(1e-5)
  })

  it('fedprox without mu is fedavg; with more mu clients travel less', async () => {
    const options = { client: 'east', threads: 2 }
    const plain = await train(tiny.base, tiny.clients.east!, await planOf(), options)
    const still = await planOf({ strategy: 'fedprox', mu: 0 })
    expect(bits((await train(tiny.base, tiny.clients.east!, still, options)).adapter)).toEqual(bits(plain.adapter))
    const norms = []
    for (const mu of [0, 0.1, 2]) {
      const plan = await planOf({ strategy: 'fedprox', mu, optimizer: 'sgd', clipNorm: 0, learningRate: 0.05 })
      const { adapter } = await train(tiny.base, tiny.clients.east!, plan, options)
      norms.push(Math.hypot(...[...effects(adapter).values()].flatMap((values) => [...values])))
    }
    expect(norms[1]).toBeLessThan(norms[0]! * 0.999)
    expect(norms[2]).toBeLessThan(norms[1]! * 0.9)
  })

  it('adaptive rules go on from whole matrices, in carried and in fresh starts', async () => {
    const plan = await planOf({ strategy: 'fedadam', rounds: 3, beta1: 0, tau: 0.01 })
    const plain = (await arm('3x1:fedavg', plan)).arm
    for (const name of ['3x1', '3x1:fresh', '3x1:fedyogi', '3x1:fedadagrad'] as const) {
      const { arm: one, adapter } = await arm(name, plan)
      expect(one.overall.loss, name).not.toBe(plain.overall.loss)
      expect(adapter.layers, name).toEqual([])
      expect(adapter.dense, name).toHaveLength(plan.layers.length)
      // A whole matrix travels down where factors travel up.
      expect(one.bytesDown, name).toBeGreaterThan(plain.bytesDown)
      expect(one.bytesUp, name).toBe(plain.bytesUp)
    }
    const folder = join(tiny.folder, 'adam')
    const whole = await arm('3x1', plan, { folder })
    const state = readdirSync(join(folder, 'state', '3x1', '1'))
    expect(state).toEqual(expect.arrayContaining(['first', 'second']))
    expect(whole.adapter.dense[0]!.values).toEqual((await arm('3x1', plan)).adapter.dense[0]!.values)
  })

  it('a resumed run has the bits of one that was not stopped', async () => {
    const plan = await planOf({ strategy: 'fedavgm', rounds: 3 })
    const whole = await arm('3x1', plan)
    const folder = join(tiny.folder, 'momentum')
    const controller = new AbortController()
    const stopped = arm('3x1', plan, {
      folder,
      signal: controller.signal,
      onProgress: ({ round }) => void (round === 3 && controller.abort()),
    })
    await expect(stopped).rejects.toMatchObject({ code: 'ABORTED' })
    const { events } = await readMetrics(join(folder, 'metrics.jsonl'))
    expect(events.filter((event) => event.event === 'aggregate')).toHaveLength(2)
    const rest = await arm('3x1', plan, { folder, resume: true })
    expect(bits(rest.adapter)).toEqual(bits(whole.adapter))
    const again = await readMetrics(join(folder, 'metrics.jsonl'))
    expect(again.events.filter((event) => event.event === 'aggregate')).toHaveLength(3)
  })
})

describe('scaffold', () => {
  const sgd = {
    optimizer: 'sgd',
    clipNorm: 0,
    weightDecay: 0,
    learningRate: 0.05,
    start: 'fresh',
    strategy: 'scaffold',
    rounds: 3,
  } as const

  it('corrects from the second round on, and doubles what travels', async () => {
    const plan = await planOf({ ...sgd, share: [], weights: 'uniform' })
    const corrected = await arm('3x1', plan)
    const plain = await arm(
      '3x1:fedprox',
      await planOf({ ...sgd, strategy: 'fedprox', mu: 0, share: [], weights: 'uniform' }),
    )
    expect(distance(corrected.adapter, plain.adapter)).toBeGreaterThan(1e-3)
    expect(corrected.arm.bytesUp / plain.arm.bytesUp).toBeGreaterThan(1.5)
    expect(corrected.arm.bytesUp / plain.arm.bytesUp).toBeLessThan(2)
  })

  it('of equal clients corrects nothing: each is what the mean is', async () => {
    const data = tiny.clients.east!
    const same = { a: data, b: data }
    const clients = { clients: ['a', 'b'] }
    const compare = ['3x1'] as const
    const corrected = await simulate(tiny.base, same, await planOf({ ...sgd, ...clients }), { compare })
    const plain = await planOf({ ...sgd, ...clients, strategy: 'fedprox', mu: 0 })
    // A of round 1 is A of every round for scaffold alone, so the first two rounds are compared.
    const first = await simulate(tiny.base, same, await planOf({ ...sgd, ...clients, rounds: 1 }), { compare: ['1x1'] })
    const other = await simulate(tiny.base, same, plain, { compare: ['1x1'] })
    expect(distance(first.adapter, other.adapter)).toBeLessThan(1e-6)
    expect(corrected.arms[0]!.overall.loss).toBeLessThan(other.arms[0]!.overall.loss)
  })

  it('goes on after a stop with the same bits', async () => {
    const plan = await planOf(sgd)
    const whole = await arm('3x1', plan)
    const folder = join(tiny.folder, 'scaffold')
    const controller = new AbortController()
    const stopped = arm('3x1', plan, {
      folder,
      signal: controller.signal,
      onProgress: ({ round, client, done }) =>
        void (round === 3 && client === 'north' && done > 0 && controller.abort()),
    })
    await expect(stopped).rejects.toMatchObject({ code: 'ABORTED' })
    expect(readdirSync(join(folder, 'updates', '3x1', '2')).sort()).toEqual(
      ['east', 'north', 'south'].flatMap((name) => [`${name}.control.safetensors`, `${name}.update.safetensors`]),
    )
    const rest = await arm('3x1', plan, { folder, resume: true })
    expect(bits(rest.adapter)).toEqual(bits(whole.adapter))
  })

  it('by single files is refused, not silently left out', async () => {
    await expect(train(tiny.base, tiny.clients.east!, await planOf(sgd), { client: 'east' })).rejects.toMatchObject({
      code: 'UNSUPPORTED',
    })
  })
})

describe('full training', () => {
  const full = (o: PlanOptions) =>
    tiny.planOf({ ...nothingOfLora, trainable: 'full', rounds: 2, epochs: 1, learningRate: 1e-3, ...o })
  // The tiny federation's own options are of factors.
  const nothingOfLora = { targets: undefined, rank: undefined, alpha: undefined, dropout: undefined } as object

  it('has the same rules: momentum, adaptive steps, buffers', async () => {
    const mean = (await arm('2x1', await full({}))).adapter
    for (const name of ['2x1:fedavgm', '2x1:fedadam', '2x1:diloco', '2x1:fedprox'] as const) {
      const { adapter } = await arm(name, await full({}))
      expect(adapter.layers, name).toEqual([])
      expect(adapter.dense.map((delta) => delta.name)).toEqual(mean.dense.map((delta) => delta.name))
      expect(adapter.dense[0]!.values, name).not.toEqual(mean.dense[0]!.values)
    }
    const buffered = (await arm('2x1', await full({ strategy: 'fedbuff', buffer: 3 }))).adapter
    for (const [i, { values }] of mean.dense.entries()) {
      const other = buffered.dense[i]!.values
      const far = Math.hypot(...values.map((value, k) => value - other[k]!))
      expect(far).toBeLessThanOrEqual(1e-5 * Math.hypot(...values) + 1e-9)
    }
  })

  it('corrects drift by scaffold with carried starts: its coordinates are the weights', async () => {
    const sgd = { optimizer: 'sgd', clipNorm: 0, learningRate: 0.01 } as const
    const corrected = await arm('2x1:scaffold', await full(sgd))
    const plain = await arm('2x1', await full(sgd))
    expect(corrected.arm.bytesUp / plain.arm.bytesUp).toBeGreaterThan(1.5)
    expect(corrected.adapter.dense[0]!.values).not.toEqual(plain.adapter.dense[0]!.values)
  })
})

describe('fresh starts', () => {
  it('freeze the whole aggregate and begin with B = 0 on another A each round', async () => {
    const plan = await planOf({ start: 'fresh', rounds: 3 })
    const { adapter } = await arm('1x1', plan)
    const [first, second, third] = [
      startOfRound(plan, 1, undefined),
      startOfRound(plan, 2, adapter),
      startOfRound(plan, 3, adapter),
    ]
    for (const [i, layer] of second.trained.layers.entries()) {
      expect(layer.b.every((value) => value === 0)).toBe(true)
      expect(layer.a).not.toEqual(first.trained.layers[i]!.a)
      expect(layer.a).not.toEqual(third.trained.layers[i]!.a)
      expect(second.overlay[i]).toMatchObject({ layer: layer.name, rank: adapter.layers[i]!.rank })
    }
    expect(second.sha256).toBe(third.sha256)
  })

  it('are another arm beside carried ones, which says so', async () => {
    const { arms } = await simulate(tiny.base, tiny.clients, await planOf(), {
      threads: 2,
      compare: ['2x1', '2x1:fresh', '1x2:fresh', '1x2'],
    })
    expect(arms.map(({ start }) => start)).toEqual(['carried', 'fresh', 'fresh', 'carried'])
    expect(arms[1]!.overall.loss).not.toBe(arms[0]!.overall.loss)
    // One round has one start only.
    expect(arms[2]!.overall.loss).toBe(arms[3]!.overall.loss)
  })
})

describe('the optimizer state of a client', () => {
  it('can be kept from round to round', async () => {
    const reset = await arm('2x1', await planOf())
    const plan = await planOf({ optimizerState: 'kept' })
    const kept = await arm('2x1', plan, { folder: join(tiny.folder, 'kept') })
    expect(distance(kept.adapter, reset.adapter)).toBeGreaterThan(1e-3)
    // It stays at the client: no byte more travels.
    expect(kept.arm.bytesUp).toBe(reset.arm.bytesUp)
    expect(bits((await arm('2x1', plan)).adapter)).toEqual(bits(kept.adapter))
    await expect(
      train(tiny.base, tiny.clients.east!, plan, { client: 'east', round: 2, start: kept.adapter }),
    ).rejects.toMatchObject({ code: 'ARGUMENT', fix: expect.stringContaining('optimizerState') })
  })
})

describe('rounds shorter than an epoch', () => {
  it('read each example as often as whole ones, in the same order', async () => {
    const folder = join(tiny.folder, 'halves')
    const plan = await planOf({ rounds: 4, epochs: 0.5 })
    const { arms } = await simulate(tiny.base, tiny.clients, plan, {
      threads: 2,
      folder,
      compare: ['4x0.5', '2x1', '1x2'],
    })
    const { events } = await readMetrics(join(folder, 'metrics.jsonl'))
    const steps = (name: string) =>
      events
        .filter((event) => event.event === 'step' && event.arm === name && event.client === 'south')
        .map(({ step, tokens, learningRate }) => ({ step, tokens, learningRate }))
    expect(steps('4x0.5')).toEqual(steps('1x2'))
    expect(steps('2x1')).toEqual(steps('1x2'))
    expect(arms.map(({ name }) => name)).toEqual(['4x0.5', '2x1', '1x2'])
    expect(arms[0]!.overall.loss).not.toBe(arms[1]!.overall.loss)
  })

  it('without a step are refused', async () => {
    const plan = await planOf({ rounds: 40, epochs: 0.05 })
    await expect(arm('40x0.05', plan)).rejects.toMatchObject({ code: 'ARGUMENT', message: /no optimizer step/ })
  })
})

describe('the shared-object leak', () => {
  it('is marked in the arm, and trains one trajectory in place of three', async () => {
    const folder = join(tiny.folder, 'leak')
    const { arms } = await simulate(tiny.base, tiny.clients, await planOf(), {
      threads: 2,
      concurrency: 3,
      folder,
      compare: ['1x2', '1x2:shared-object-leak'],
    })
    const [right, leaked] = arms
    expect(right!.ablation).toBeUndefined()
    expect(leaked).toMatchObject({ name: '1x2:shared-object-leak', ablation: 'shared-object-leak' })
    const { events } = await readMetrics(join(folder, 'metrics.jsonl'))
    const first = (name: string, client: string) =>
      events.find((event) => event.event === 'step' && event.arm === name && event.client === client)?.loss as number
    // The first client by name is the same in both; the next one begins where that one ended.
    expect(first('1x2:shared-object-leak', 'east')).toBe(first('1x2', 'east'))
    expect(first('1x2:shared-object-leak', 'north')).not.toBe(first('1x2', 'north'))
  })

  it('has no sense without clients that train in turn', async () => {
    await expect(arm('1x2:fedbuff:shared-object-leak', await planOf())).rejects.toMatchObject({ code: 'ARGUMENT' })
  })
})

it('an arm whose words contradict the plan is refused before anything trains', async () => {
  await expect(arm('2x1:scaffold', await planOf())).rejects.toMatchObject({ code: 'MALFORMED' })
  await expect(arm('2x1:running-mean', await planOf())).rejects.toMatchObject({ code: 'MALFORMED' })
  await expect(arm('2x1:fedzzz', await planOf())).rejects.toMatchObject({ code: 'ARGUMENT' })
  await expect(arm('2x1:fresh:carried', await planOf())).rejects.toMatchObject({ code: 'ARGUMENT' })
})
