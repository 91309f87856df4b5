/** Full updates: every tensor trains, its change travels, and the server takes the weighted mean. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makeAdapter } from '../../src/adapter/adapter.js'
import { loadAdapter } from '../../src/adapter/folder.js'
import { toBatch } from '../../src/data/batches.js'
import { makeDataset } from '../../src/data/dataset.js'
import { evaluate } from '../../src/evaluate/evaluate.js'
import { generate } from '../../src/evaluate/generate.js'
import { closeRound } from '../../src/federation/server.js'
import { simulate } from '../../src/federation/simulate.js'
import { type Model, openModel } from '../../src/model/open.js'
import { native } from '../../src/native/load.js'
import { openAdapted } from '../../src/train/adapted.js'
import { SessionPool } from '../../src/train/session.js'
import { denseSlots } from '../../src/train/slots.js'
import { startOfRound } from '../../src/train/start.js'
import { train } from '../../src/train/train.js'
import { createPlan, type PlanOptions } from '../../src/update/create-plan.js'
import { describeLeaving } from '../../src/update/describe.js'
import { type Plan, parsePlan, planText } from '../../src/update/plan.js'
import { parseUpdate, serializeUpdate, type Update } from '../../src/update/update.js'
import { sharedFile, skipReason } from '../golden/shared-files.js'
import { bits, settings, type TinyFederation, tinyFederation } from './tiny.js'

const { targets: _, rank: __, alpha: ___, dropout: ____, ...rest } = settings
const full = { ...rest, trainable: 'full', learningRate: 3e-3, weights: 'examples' } satisfies PlanOptions

let tiny: TinyFederation
let plan: Plan
const planOf = (o: PlanOptions) => createPlan(tiny.base, { ...full, clients: ['north', 'east', 'south'], ...o })
beforeAll(async () => {
  tiny = await tinyFederation()
  plan = await planOf({})
})
afterAll(() => tiny[Symbol.asyncDispose]())

const update = (client: string, of: Plan = plan, o: object = {}) =>
  train(tiny.base, tiny.clients[client]!, of, { client, ...o })

/** Every number of a base, flat, in its order. */
function weightsOf(base: Model): Float32Array {
  const size = { threads: 1, rowsPerPass: 8, longestExample: 8 }
  const slots = denseSlots(base.spec.tensors)
  const session = new (native().Session)(base.weights, { ...size, slots, overlay: [], training: false })
  session.loadBase()
  const flat = session.parameters()
  session.close()
  return flat
}

/** A pool whose sessions tell the parameters whenever all of them are read. */
function watching(base: Model, tell: (values: Float32Array) => void): SessionPool {
  const pool = new SessionPool(base)
  const acquire = pool.acquire.bind(pool)
  pool.acquire = (options) => {
    const session = acquire(options)
    return new Proxy(session, {
      get(target, key) {
        const member: unknown = Reflect.get(target, key, target)
        if (typeof member !== 'function') return member
        if (key !== 'parameters') return member.bind(target)
        return (...range: [] | [number, number]) => {
          const values = target.parameters(...range)
          if (range.length === 0) tell(values.slice())
          return values
        }
      },
    })
  }
  return pool
}

async function closed(of: Plan, updates: (Update | Uint8Array | string)[], before?: ReturnType<typeof makeAdapter>) {
  const round = before === undefined ? 1 : 2
  const result = await closeRound(of, startOfRound(of, round, before), updates)
  return result.last ? result.served.adapter : result.exact
}

describe('a plan of full updates', () => {
  it('lists every tensor, travels, and says how large an update is', async () => {
    const { trainable } = plan.train
    if (trainable.kind !== 'full') throw new Error('not full')
    expect(plan.layers).toEqual([])
    expect(trainable.tensors.map(({ name }) => name)).toEqual(tiny.base.spec.tensors.map(({ name }) => name))
    expect(plan.aggregate.method).toBe('fedavg')
    expect(parsePlan(planText(plan))).toEqual(plan)
    const leaves = describeLeaving(plan, { info: {} })
    expect(leaves.find(({ field }) => field === '(size)')!.value).toBe(String(4 * tiny.base.spec.parameters))
    expect(leaves.find(({ field }) => field === 'kinds')!.value).toBe('delta')
    const bytes = serializeUpdate(await update('north'))
    expect(bytes.byteLength - 4 * tiny.base.spec.parameters).toBeLessThan(8192)
  })

  it.each<[string, PlanOptions, string]>([
    ['a rank', { rank: 4 }, 'ARGUMENT'],
    ['targets', { targets: ['q_proj'] }, 'ARGUMENT'],
    ['a method of factors', { method: 'svd' }, 'MALFORMED'],
    ['a rank of the aggregate', { aggregateRank: 4 }, 'MALFORMED'],
    ['another kind', { trainable: 'ffa' as 'full' }, 'UNSUPPORTED'],
  ])('refuses %s', async (_name, o, code) => {
    await expect(planOf(o)).rejects.toMatchObject({ code })
  })

  it.each<[string, (tensors: { name: string; shape: number[] }[]) => void]>([
    ['without one of them', (tensors) => void tensors.pop()],
    ['in another shape', (tensors) => void tensors[0]!.shape.reverse()],
    ['of another name', (tensors) => void Object.assign(tensors[0]!, { name: 'other.weight' })],
  ])('that lists tensors %s is refused before anything trains', async (_name, change) => {
    const other = structuredClone(plan)
    if (other.train.trainable.kind === 'full') change(other.train.trainable.tensors)
    await expect(update('north', other)).rejects.toMatchObject({ code: 'MISMATCH' })
  })
})

describe('the weighted mean', () => {
  it('of one client gives its weights back, within one rounding of the change and one of the sum', async () => {
    const alone = await planOf({ clients: ['north'], weights: 'uniform' })
    const own = await update('north', alone)
    const served = await closed(alone, [own])
    expect(bits(served)).toEqual(bits(own.adapter))
    // What the client had at its end: the one time that training reads all parameters at once.
    const w: Float32Array[] = []
    await update('north', alone, { sessions: watching(tiny.base, (values) => w.push(values)) })
    expect(w).toHaveLength(1)
    const session = openAdapted(tiny.base, served, { threads: 1, rowsPerPass: 8, longestExample: 8 })
    const found = session.parameters()
    expect(found).toHaveLength(w[0]!.length)
    // The change is rounded once, and so is the sum: fl(base + fl(w - base)).
    const before = weightsOf(tiny.base)
    for (const [i, value] of w[0]!.entries()) {
      const bound = 2 ** -24 * (Math.abs(value - before[i]!) + Math.abs(found[i]!))
      expect(Math.abs(found[i]! - value)).toBeLessThanOrEqual(bound)
    }
    expect(before.some((value, i) => Math.abs(value - w[0]![i]!) > 1e-3)).toBe(true)
    session.close()
  })

  it('of equal clients gives that client back, and order changes nothing', async () => {
    const three = await planOf({ clients: ['a', 'b', 'c'] })
    const data = tiny.clients.east!
    const sent = []
    for (const client of ['a', 'b', 'c']) sent.push(serializeUpdate(await train(tiny.base, data, three, { client })))
    const mean = await closed(three, sent)
    const own = parseUpdate(sent[0]!, three).adapter
    for (const [i, { values }] of mean.dense.entries())
      for (const [at, value] of values.entries()) {
        const expected = own.dense[i]!.values[at]!
        expect(Math.abs(value - expected)).toBeLessThanOrEqual(Math.abs(expected) * 2 ** -23)
      }
    expect(bits(await closed(three, [...sent].reverse()))).toEqual(bits(mean))
  })

  it('is exact: sum of p_i times the change, in double, rounded once; files, bytes and objects are one', async () => {
    const updates = [await update('north'), await update('east'), await update('south')]
    const mean = await closed(plan, updates)
    const counts = updates.map(({ info }) => info.examples!)
    const all = counts.reduce((sum, count) => sum + count, 0)
    // by client name: east, north, south
    const order = [1, 0, 2]
    for (const [i, { values }] of mean.dense.entries()) {
      const expected = values.map((_value, at) =>
        Math.fround(order.reduce((sum, k) => sum + (counts[k]! / all) * updates[k]!.adapter.dense[i]!.values[at]!, 0)),
      )
      expect(values).toEqual(expected)
    }
    const files = []
    for (const one of updates) {
      files.push(join(tiny.folder, `full-${one.info.client}.update.safetensors`))
      await one.save(files.at(-1)!)
    }
    expect(bits(await closed(plan, files))).toEqual(bits(mean))
    expect(bits(await closed(plan, updates.map(serializeUpdate)))).toEqual(bits(mean))
  })
})

describe('full updates that break a rule', () => {
  const broken = async (change: (one: Update) => void) => {
    const one = parseUpdate(serializeUpdate(await update('north')), plan)
    change(one)
    return closed(plan, [one])
  }
  it.each<[string, RegExp, (one: Update) => void]>([
    ['NaN', /finite/, ({ adapter }) => void adapter.dense[3]!.values.fill(Number.NaN, 1, 2)],
    ['no change', /non-zero/, ({ adapter }) => adapter.dense.forEach(({ values }) => void values.fill(0))],
    ['a shout', /norm/, ({ adapter }) => adapter.dense[0]!.values.fill(11)],
    ['another shape', /shape/, ({ adapter }) => adapter.dense[0]!.shape.reverse()],
    ['a tensor too few', /tensors/, ({ adapter }) => void (adapter.dense as unknown[]).pop()],
  ])('with %s are refused', async (_name, rule, change) => {
    await expect(broken(change)).rejects.toMatchObject({ code: 'REFUSED', message: expect.stringMatching(rule) })
  })

  it('of factors are refused under a plan of full updates, and the other way round', async () => {
    const factors = serializeUpdate(await update('north', tiny.plan))
    expect(() => parseUpdate(factors, plan)).toThrow(/kinds/)
    const whole = serializeUpdate(await update('north'))
    expect(() => parseUpdate(whole, tiny.plan)).toThrow(/kinds/)
    // A file cut or with a bit of its header changed never becomes an update.
    for (let length = 0; length < 4000; length += 371)
      expect(() => parseUpdate(whole.subarray(0, length), plan)).toThrow()
  })
})

describe('rounds of full updates', () => {
  it('compare with one round, alone and pooled; the adapter is evaluated, generated from and saved', async () => {
    const three = await planOf({ epochs: 1, rounds: 3 })
    const folder = join(tiny.folder, 'full-run')
    const compare = ['base', 'client', '1x3', '3x1', 'pooled'] as const
    const { arms, adapter } = await simulate(tiny.base, tiny.clients, three, { compare: [...compare], folder })
    const arm = (name: string) => arms.find((one) => one.name === name)!
    for (const name of ['1x3', '3x1', 'pooled'])
      expect(arm(name).overall.loss, name).toBeLessThan(arm('base').overall.loss)
    const numbers = 4 * tiny.base.spec.parameters
    expect(arm('1x3').bytesUp / (3 * numbers)).toBeCloseTo(1, 1)
    expect(arm('3x1').bytesUp / (9 * numbers)).toBeCloseTo(1, 1)
    expect(arm('3x1').bytesDown / (9 * numbers)).toBeCloseTo(1, 0)
    const kept = await loadAdapter(join(folder, 'adapter'))
    expect(bits(kept)).toEqual(bits(adapter))
    const held = tiny.clients.north!.heldOut(three.data.heldOut).heldOut
    expect((await evaluate(tiny.base, held, { adapter: kept })).loss).toBe(arm('3x1').perClient.north!.loss)
    let text = ''
    for await (const piece of generate(tiny.base, 'snow falls', { adapter: kept, maxTokens: 4 })) text += piece
    expect(text.length).toBeGreaterThan(0)
    const again = await simulate(tiny.base, tiny.clients, three, { compare: [...compare], folder, resume: true })
    expect(again.arms).toEqual(arms)
  })

  it('start from base plus what came before, exactly: a client that learns nothing gives the start back', async () => {
    const two = await planOf({ rounds: 2, epochs: 1, weights: 'uniform' })
    const first = await closed(two, [await update('north', two), await update('east', two)])
    const still = { ...two, train: { ...two.train, learningRate: 1e-30 } }
    const moved = await update('south', two, { round: 2, start: first })
    const unmoved = await update('south', still, { round: 2, start: first })
    expect(unmoved.adapter.dense.every(({ values }) => values.every((value) => value === 0))).toBe(true)
    const second = await closed(two, [moved], first)
    for (const [i, { values }] of second.dense.entries())
      expect(values).toEqual(
        values.map((_, at) => Math.fround(first.dense[i]!.values[at]! + moved.adapter.dense[i]!.values[at]!)),
      )
    await expect(
      update('south', two, { round: 2, start: makeAdapter([], first.dense.slice(1)) }),
    ).rejects.toMatchObject({
      code: 'MISMATCH',
    })
  })

  it('go on from a checkpoint to the same bits', async () => {
    const checkpoint = join(tiny.folder, 'full.checkpoint')
    const whole = serializeUpdate(await update('south'))
    const controller = new AbortController()
    const onStep = ({ step }: { step: number }) => void (step === 2 && controller.abort())
    await expect(update('south', plan, { checkpoint, signal: controller.signal, onStep })).rejects.toMatchObject({
      code: 'ABORTED',
    })
    expect(serializeUpdate(await update('south', plan, { checkpoint, resume: true }))).toEqual(whole)
  })
})

const reason = skipReason('golden/tiny')
describe.skipIf(reason !== undefined).each(['gpt2', 'qwen2', 'llama_tied_bf16'])('full training of %s', (name) => {
  it('by one step is base plus delta: biases, norms, tied embeddings and Conv1D all in their place', async () => {
    await using base = await openModel(join(sharedFile('golden/tiny') ?? '', name, 'model'))
    const folder = mkdtempSync(join(tmpdir(), 'oneround-'))
    const { vocabulary } = base.spec.shape
    const data = makeDataset(
      Array.from({ length: 6 }, (_, id) => {
        const ids = Int32Array.from({ length: 12 }, (__, i) => (7 * id + 5 * i * i + 3) % vocabulary)
        return { id, ids, labels: Int32Array.from(ids, (___, i) => ids[i + 1] ?? -100), characters: 12 }
      }),
    )
    const one = await createPlan(base, {
      trainable: 'full',
      clients: ['a'],
      epochs: 1,
      batch: 64,
      cutoff: 16,
      heldOut: 0.2,
      learningRate: 0.01,
      weights: 'uniform',
    })
    const sent = await train(base, data, one, { client: 'a' })
    const served = await closed(one, [sent])
    await served.save(folder)
    const back = await loadAdapter(folder)
    rmSync(folder, { recursive: true })
    const moved = back.dense.filter(({ values }) => values.some((value) => value !== 0)).map((delta) => delta.name)
    expect(moved.sort()).toEqual(base.spec.tensors.map((tensor) => tensor.name).sort())
    // The loss after the step as the training session saw it is the loss of base + delta as everybody sees it.
    const held = data.heldOut(0.2).heldOut
    const judged = await evaluate(base, held, { adapter: back })
    expect(judged.loss).toBeCloseTo(sent.info.lossAfter!, 6)
    expect(judged.loss).not.toBeCloseTo(sent.info.lossBefore!, 3)
    // One token at a time gives the same logits as all at once.
    const size = { threads: 1, rowsPerPass: 32, longestExample: 32 }
    const ids = held.examples[0]!.ids
    const session = openAdapted(base, back, { ...size, cache: 32 })
    const logits = await session.logits(toBatch([held.examples[0]!]))
    let last = await session.prefill(Int32Array.from(ids.subarray(0, 1)))
    for (const id of ids.subarray(1)) last = await session.next(id)
    const expected = logits.subarray((ids.length - 1) * vocabulary)
    for (const [i, value] of last.entries()) expect(Math.abs(value - expected[i]!)).toBeLessThan(1e-3)
    session.close()
  })
})
