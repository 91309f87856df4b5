/** One client's training: its schedule, its budget, and what it does when something is wrong. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makeAdapter } from '../../src/adapter/adapter.js'
import { toBatch } from '../../src/data/batches.js'
import { evaluate } from '../../src/evaluate/evaluate.js'
import { openModel } from '../../src/model/open.js'
import { readSafetensors } from '../../src/model/safetensors.js'
import { native } from '../../src/native/load.js'
import { trainFull } from '../../src/train/full.js'
import type { Progress } from '../../src/train/job.js'
import { checkMemory, describeMemory, type MemoryNotice } from '../../src/train/memory.js'
import { prepare } from '../../src/train/prepare.js'
import { learningRateAt, type Schedule } from '../../src/train/schedule.js'
import { dropoutSeed } from '../../src/train/seeds.js'
import { flatten, unflatten } from '../../src/train/slots.js'
import { startOfRound } from '../../src/train/start.js'
import { train } from '../../src/train/train.js'
import { toBfloat16, writeFullModel } from '../../src/train/write-full.js'
import { serializeUpdate } from '../../src/update/update.js'
import { type TinyFederation, tinyFederation } from './tiny.js'

let tiny: TinyFederation
beforeAll(async () => {
  tiny = await tinyFederation()
})
afterAll(() => tiny[Symbol.asyncDispose]())

describe('the learning rate', () => {
  const rates = (schedule: Partial<Schedule>) => {
    const whole: Schedule = { kind: 'constant', learningRate: 1, warmup: 0, totalSteps: 10, ...schedule }
    return Array.from({ length: whole.totalSteps }, (_, step) => learningRateAt(whole, step))
  }

  it('rises linearly to its peak and falls as asked, never to 0 within the horizon', () => {
    expect(rates({})).toEqual(new Array(10).fill(1))
    expect(rates({ warmup: 0.4 })).toEqual([0.25, 0.5, 0.75, 1, 1, 1, 1, 1, 1, 1])
    const linear = rates({ kind: 'linear', warmup: 0.2, totalSteps: 10 })
    expect(linear.slice(0, 3)).toEqual([0.5, 1, 1])
    expect(linear.at(-1)).toBeCloseTo(1 / 8, 12)
    const cosine = rates({ kind: 'cosine', totalSteps: 8 })
    expect(cosine[0]).toBe(1)
    expect(cosine[4]).toBeCloseTo(0.5, 12)
    expect(cosine.at(-1)).toBeCloseTo(0.5 * (1 + Math.cos((7 / 8) * Math.PI)), 12)
    expect(rates({ kind: 'cosine', warmup: 1 }).at(-1)).toBe(1)
    expect(() => learningRateAt({ kind: 'constant', learningRate: 1, warmup: 0, totalSteps: 3 }, 3)).toThrow()
  })

  it('draws another dropout mask in every step', () => {
    const seeds = new Set(Array.from({ length: 1000 }, (_, step) => dropoutSeed(7, step)))
    expect(seeds.size).toBe(1000)
    expect(dropoutSeed(7, 3)).toBe(dropoutSeed(7, 3))
    expect(dropoutSeed(8, 3)).not.toBe(dropoutSeed(7, 3))
  })
})

describe('steps', () => {
  it('are of batch x accumulate examples, whatever the engine cuts them into', async () => {
    const losses = async (batch: number, accumulate: number) => {
      const plan = await tiny.planOf({ batch, accumulate })
      const found: number[] = []
      await train(tiny.base, tiny.clients.south!, plan, {
        client: 'south',
        onStep: ({ loss }) => void found.push(loss),
      })
      return found
    }
    const six = await losses(6, 1)
    expect(await losses(2, 3)).toEqual(six)
    expect(six.length).toBe(2 * 2)
    expect((await losses(2, 1)).length).toBe(2 * 4)
  })

  it('report how far they are', async () => {
    const seen: Progress[] = []
    await train(tiny.base, tiny.clients.north!, tiny.plan, {
      client: 'north',
      onProgress: (progress) => void seen.push(progress),
    })
    expect(seen[0]).toMatchObject({ phase: 'train', client: 'north', round: 1, done: 0 })
    expect(seen.at(-1)).toMatchObject({ done: seen[0]!.total, secondsLeft: 0 })
    expect(seen.slice(1).every(({ loss, secondsLeft }) => Number.isFinite(loss) && secondsLeft >= 0)).toBe(true)
  })

  it('depend on the seed, in the start and in the masks', async () => {
    const bytes = async (seed: number) =>
      serializeUpdate(await train(tiny.base, tiny.clients.north!, await tiny.planOf({ seed }), { client: 'north' }))
    expect(await bytes(1)).not.toEqual(await bytes(2))
    expect(await bytes(1)).toEqual(await bytes(1))
  })
})

describe('memory', () => {
  it('is told before training, and what does not fit is refused with the number and what to lower', async () => {
    const told: MemoryNotice[] = []
    await train(tiny.base, tiny.clients.north!, tiny.plan, {
      client: 'north',
      onMemory: (notice) => void told.push(notice),
    })
    expect(told).toHaveLength(1)
    expect(told[0]!.total).toBe(
      told[0]!.parameters + told[0]!.gradients + told[0]!.optimizer + told[0]!.activations + told[0]!.scratch,
    )
    expect(describeMemory(told[0]!)).toMatch(/^Peak [0-9.]+ [KMG]iB/)
    const { session } = prepare(tiny.clients.north!, tiny.plan, startOfRound(tiny.plan, 1, undefined), 1, false)
    const budget = native().memoryBudget(tiny.base.weights, session)
    expect(() => checkMemory(budget, 1, budget.total)).not.toThrow()
    const refused = {
      code: 'MEMORY',
      found: expect.stringContaining(String(budget.total * 3)),
      fix: expect.stringContaining('concurrency'),
    }
    expect(() => checkMemory(budget, 3, budget.total * 3 - 1)).toThrow(expect.objectContaining(refused))
  })
})

describe('trouble', () => {
  it('is named: a loss that is not finite', async () => {
    const plan = await tiny.planOf({ learningRate: 10, clipNorm: 0, epochs: 200, schedule: 'constant', warmup: 0 })
    const start = startOfRound(plan, 1, undefined)
    const wild = makeAdapter(start.trained.layers.map((layer) => ({ ...layer, b: layer.b.map(() => 3e38) })))
    const { trainFrom } = await import('../../src/train/train.js')
    const run = trainFrom(tiny.base, tiny.clients.north!, plan, { ...start, trained: wild }, { client: 'north' })
    await expect(run).rejects.toMatchObject({ code: 'NUMERIC' })
  })

  it('is named: a stranger, another base, a device that is not built, no threads, nothing to judge', async () => {
    const { plan, base, clients } = tiny
    await expect(train(base, clients.north!, plan, { client: 'nobody' })).rejects.toMatchObject({ code: 'MISMATCH' })
    const other = { ...plan, base: { ...plan.base, tokenizerSha256: 'f'.repeat(64) } }
    await expect(train(base, clients.north!, other, { client: 'north' })).rejects.toMatchObject({ code: 'MISMATCH' })
    await expect(train(base, clients.north!, plan, { client: 'north', device: 'cuda' })).rejects.toMatchObject({
      code: 'UNSUPPORTED',
    })
    await expect(train(base, clients.north!, plan, { client: 'north', threads: 0 })).rejects.toMatchObject({
      code: 'ARGUMENT',
    })
    await expect(evaluate(base, clients.north!, { task: 'vibes' as 'loss' })).rejects.toMatchObject({
      code: 'UNSUPPORTED',
    })
    await expect(evaluate(base, clients.north! as never, { task: 'choice' })).rejects.toMatchObject({
      code: 'ARGUMENT',
    })
    await expect(evaluate(base, clients.north!.heldOut(0).heldOut)).rejects.toMatchObject({ code: 'ARGUMENT' })
    const strange = makeAdapter([
      {
        name: 'model.layers.9.self_attn.q_proj',
        in: 32,
        out: 32,
        rank: 1,
        scale: 1,
        a: new Float32Array(32),
        b: new Float32Array(32),
      },
    ])
    await expect(evaluate(base, clients.north!, { adapter: strange })).rejects.toMatchObject({ code: 'MISMATCH' })
  })
})

describe('factors', () => {
  it('go through the flat buffer and come back', () => {
    const { trained } = startOfRound(tiny.plan, 1, undefined)
    expect(unflatten(tiny.plan.layers, flatten(trained.layers)).layers).toEqual(trained.layers)
    const bound = 1 / Math.sqrt(trained.layers[0]!.in)
    expect(trained.layers[0]!.a.every((value) => Math.abs(value) <= bound)).toBe(true)
    expect(trained.layers.every((layer) => layer.b.every((value) => value === 0))).toBe(true)
  })
})

describe('full training', () => {
  const schedule: Schedule = { kind: 'cosine', learningRate: 3e-3, warmup: 0.1, totalSteps: 12 }
  const options = (more: object = {}) => ({
    batch: (step: number) => toBatch(tiny.clients.south!.examples.slice(step % 4, (step % 4) + 3)),
    schedule,
    weightDecay: 0.1,
    clipNorm: 1,
    seed: 5,
    rowsPerPass: 256,
    longestExample: 64,
    identity: { corpus: 'south' },
    ...more,
  })

  it('lowers the loss, goes on from its checkpoint to the same bits, and writes a model that opens', async () => {
    const losses: number[] = []
    const whole = await trainFull(
      tiny.base,
      options({ onStep: ({ loss }: { loss: number }) => void losses.push(loss) }),
    )
    expect(losses.at(-1)!).toBeLessThan(losses[0]! - 0.3)
    expect(whole.parameters.length).toBe(tiny.base.spec.parameters)

    const checkpoint = `${tiny.folder}/full.checkpoint`
    const controller = new AbortController()
    const onStep = ({ step }: { step: number }) => step === 7 && controller.abort()
    await expect(
      trainFull(tiny.base, options({ checkpoint, signal: controller.signal, onStep })),
    ).rejects.toMatchObject({ code: 'ABORTED' })
    const rest = await trainFull(tiny.base, options({ checkpoint }))
    expect(Buffer.from(rest.parameters.buffer).equals(Buffer.from(whole.parameters.buffer))).toBe(true)
    await expect(trainFull(tiny.base, options({ checkpoint, identity: { corpus: 'north' } }))).rejects.toMatchObject({
      code: 'MISMATCH',
    })

    const config = JSON.parse(
      await (await import('node:fs/promises')).readFile(`${tiny.source}/config.json`, 'utf8'),
    ) as object
    await writeFullModel(`${tiny.folder}/full`, tiny.base.spec, whole.parameters, config)
    await using model = await openModel(`${tiny.folder}/full`)
    expect(model.spec.parameters).toBe(tiny.base.spec.parameters)
    const { tensors } = await readSafetensors(`${tiny.folder}/full/model.safetensors`)
    expect([...tensors.values()].every(({ dtype }) => dtype === 'BF16')).toBe(true)
    const before = await evaluate(tiny.base, tiny.clients.south!)
    expect((await evaluate(model, tiny.clients.south!)).loss).toBeLessThan(before.loss - 0.3)
  })

  it('rounds to bf16 as the standard says: to the nearest, ties to even', () => {
    const words = new Uint32Array([
      0x3f800000, 0x3f808000, 0x3f818000, 0x3f808001, 0x3f807fff, 0x80000000, 0x7f800000, 0x7fc00000, 0x7f7fffff,
    ])
    expect([...toBfloat16(new Float32Array(words.buffer))]).toEqual([
      0x3f80, 0x3f80, 0x3f82, 0x3f81, 0x3f80, 0x8000, 0x7f80, 0x7fc0, 0x7f80,
    ])
  })
})

describe('SGD', () => {
  it('trains by its own rule: without momentum a step is the gradient times the rate', async () => {
    const { plan, base, clients } = tiny
    const settings = { optimizer: 'sgd' as const, schedule: 'constant' as const, warmup: 0, clipNorm: 0, epochs: 1 }
    const one = { ...plan, train: { ...plan.train, ...settings, batch: 1024, learningRate: 0.5 } }
    const two = { ...one, train: { ...one.train, learningRate: 1 } }
    // B starts at zero and A's gradient is zero there: after one step B is the rate times the same gradient.
    const half = await train(base, clients.north!, one, { client: 'north' })
    const whole = await train(base, clients.north!, two, { client: 'north' })
    for (const [i, layer] of half.adapter.layers.entries()) {
      const other = whole.adapter.layers[i]!
      expect(other.b).toEqual(layer.b.map((value) => 2 * value))
      expect(other.b.some((value) => value !== 0)).toBe(true)
    }
    const heavy = { ...one, train: { ...one.train, epochs: 2, momentum: 0.9 } }
    const light = { ...heavy, train: { ...heavy.train, momentum: 0 } }
    const far = await train(base, clients.north!, heavy, { client: 'north' })
    const near = await train(base, clients.north!, light, { client: 'north' })
    expect(far.adapter.layers[0]!.b).not.toEqual(near.adapter.layers[0]!.b)
  })
})

describe('recomputing blocks on the way back', () => {
  it('gives the same bits from less memory', async () => {
    const { plan, base, clients } = tiny
    const activations: number[] = []
    const onMemory = (notice: { activations: number }) => void activations.push(notice.activations)
    const kept = await train(base, clients.north!, plan, { client: 'north', onMemory })
    const again = await train(base, clients.north!, plan, { client: 'north', onMemory, recompute: true })
    expect(serializeUpdate(again)).toEqual(serializeUpdate(kept))
    expect(activations[1]).toBeLessThan(activations[0]!)
  })
})
