/** Federations where B alone (ffa) or a core (fed-sb) trains and travels, behind factors that all clients share. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Adapter, makeAdapter } from '../../src/adapter/adapter.js'
import { loadAdapter } from '../../src/adapter/folder.js'
import { openAggregator } from '../../src/aggregate/aggregator.js'
import { evaluate } from '../../src/evaluate/evaluate.js'
import { generate } from '../../src/evaluate/generate.js'
import { closeRound } from '../../src/federation/server.js'
import { simulate } from '../../src/federation/simulate.js'
import { parseSafetensors, serializeSafetensors } from '../../src/model/safetensors.js'
import { initialStart, startOfRound } from '../../src/train/start.js'
import { train } from '../../src/train/train.js'
import type { PlanOptions } from '../../src/update/create-plan.js'
import { describeLeaving } from '../../src/update/describe.js'
import { adapterSha256 } from '../../src/update/digest.js'
import { type Plan, parsePlan, planText } from '../../src/update/plan.js'
import { sharedFactors } from '../../src/update/shared-factors.js'
import { parseUpdate, serializeUpdate, type Update } from '../../src/update/update.js'
import { bits, distance, effects, settings, type TinyFederation, tinyFederation } from './tiny.js'

const kinds = ['ffa', 'fed-sb'] as const
type Kind = (typeof kinds)[number]
const ending = { ffa: '.lora_B', 'fed-sb': '.core' }
const options = (kind: Kind): PlanOptions => ({
  ...settings,
  trainable: kind,
  rank: 4,
  rankPattern: { v_proj: 2 },
  rsLora: true,
  learningRate: kind === 'ffa' ? 0.02 : 0.05,
})

let tiny: TinyFederation
const plans = {} as Record<Kind, Plan>
beforeAll(async () => {
  tiny = await tinyFederation()
  for (const kind of kinds) plans[kind] = await tiny.planOf(options(kind))
})
afterAll(() => tiny[Symbol.asyncDispose]())

const update = (client: string, of: Plan, o: object = {}) =>
  train(tiny.base, tiny.clients[client]!, of, { client, ...o })

async function closed(of: Plan, updates: (Update | Uint8Array | string)[], before?: Adapter): Promise<Adapter> {
  const result = await closeRound(of, startOfRound(of, before === undefined ? 1 : 2, before), updates)
  return result.last ? result.served.adapter : result.exact
}

/** sum_i p_i s B_i A, or s B (sum_i p_i R_i) A, in double, from what the files hold and the shared factors. */
function denseMean(plan: Plan, updates: readonly Update[], shares: readonly number[]): Map<string, Float64Array> {
  return new Map(
    sharedFactors(plan).map(({ name, in: inDim, out, rank, scale, a, b }, at) => {
      const left = new Float64Array(out * rank)
      for (const [i, { adapter, cores }] of updates.entries()) {
        const share = shares[i]!
        for (let row = 0; row < out; row++)
          for (let k = 0; k < rank; k++) {
            if (cores === undefined) left[row * rank + k]! += share * adapter.layers[at]!.b[row * rank + k]!
            else
              for (let j = 0; j < rank; j++)
                left[row * rank + k]! += share * b[row * rank + j]! * cores[at]![j * rank + k]!
          }
      }
      const dense = new Float64Array(out * inDim)
      for (let row = 0; row < out; row++)
        for (let k = 0; k < rank; k++)
          for (let j = 0; j < inDim; j++) dense[row * inDim + j]! += scale * left[row * rank + k]! * a[k * inDim + j]!
      return [name, dense]
    }),
  )
}

function relative(found: Map<string, Float64Array>, expected: Map<string, Float64Array>): number {
  let difference = 0
  let norm = 0
  for (const [name, values] of expected)
    for (const [i, value] of values.entries()) {
      difference += (found.get(name)![i]! - value) ** 2
      norm += value ** 2
    }
  return Math.sqrt(difference / norm)
}

const refusedAs = (rule: RegExp) => ({ code: 'REFUSED', message: expect.stringMatching(rule) })

describe.each(kinds)('a plan of %s', (kind) => {
  it('says what leaves, which is far less than both factors', async () => {
    const plan = plans[kind]
    expect(plan.aggregate.method).toBe(kind)
    expect(parsePlan(planText(plan))).toEqual(plan)
    const sent = await update('north', plan)
    const count = plan.layers.reduce((sum, { out, rank }) => sum + rank * (kind === 'ffa' ? out : rank), 0)
    const leaves = describeLeaving(plan, { info: sent.info })
    expect(leaves.find(({ field }) => field === '(size)')!.value).toBe(String(4 * count))
    const bytes = serializeUpdate(sent)
    const { tensors, metadata } = parseSafetensors(bytes, 'update')
    expect([...tensors.keys()].sort()).toEqual(plan.layers.map(({ name }) => `${name}${ending[kind]}`).sort())
    expect([...tensors.values()].reduce((sum, { data }) => sum + data.byteLength, 0)).toBe(4 * count)
    const told = leaves.map(({ field }) => field)
    expect(told).toEqual(expect.arrayContaining([...tensors.keys(), ...Object.keys(metadata)]))
    expect(told).toHaveLength(tensors.size + Object.keys(metadata).length + 1)
    const back = parseUpdate(bytes, plan)
    expect(bits(back.adapter)).toEqual(bits(sent.adapter))
    expect(back.cores).toEqual(sent.cores)
    expect(serializeUpdate(back)).toEqual(bytes)
  })

  it('trains with the same bits whatever the threads, and again from a checkpoint', async () => {
    const plan = plans[kind]
    const whole = serializeUpdate(await update('south', plan, { threads: 1 }))
    const checkpoint = join(tiny.folder, `${kind}.checkpoint`)
    const controller = new AbortController()
    const onStep = ({ step }: { step: number }) => void (step === 2 && controller.abort())
    const stopped = update('south', plan, { threads: 2, checkpoint, signal: controller.signal, onStep })
    await expect(stopped).rejects.toMatchObject({ code: 'ABORTED' })
    expect(serializeUpdate(await update('south', plan, { threads: 2, checkpoint, resume: true }))).toEqual(whole)
  })

  it.each<[string, PlanOptions, string]>([
    ['the mean of whole tensors', { method: 'fedavg' }, 'MALFORMED'],
    ['the method of the other kind', { method: kind === 'ffa' ? 'fed-sb' : 'ffa' }, 'MALFORMED'],
    ['a rank of its own method', { aggregateRank: 2 }, 'MALFORMED'],
    ['a fresh start', { start: 'fresh', rounds: 2 }, 'MALFORMED'],
    ["a server's own step", { strategy: 'fedadam', rounds: 2 }, 'MALFORMED'],
    ['a part of the mean step', { strategy: 'fedavg', serverLearningRate: 0.5, rounds: 2 }, 'MALFORMED'],
    ['visits at any time', { strategy: 'fedbuff', rounds: 2 }, 'MALFORMED'],
    ['a running mean', { strategy: 'running-mean', method: 'svd' }, 'MALFORMED'],
    [
      'control variates',
      { strategy: 'scaffold', rounds: 2, optimizer: 'sgd', clipNorm: 0, weightDecay: 0 },
      'MALFORMED',
    ],
    ['a rank wider than a layer', { rank: 200 }, 'ARGUMENT'],
    ...(kind === 'ffa' ? [] : ([['a random A', { initA: 'gaussian' }, 'ARGUMENT']] as [string, PlanOptions, string][])),
  ])('refuses %s', async (_name, o, code) => {
    await expect(tiny.planOf({ ...options(kind), ...o })).rejects.toMatchObject({ code })
  })
})

describe.each(kinds)('the mean of %s', (kind) => {
  it('is the exact sum, of the rank of the plan', async () => {
    const plan = plans[kind]
    const updates = await Promise.all(['north', 'east', 'south'].map((client) => update(client, plan)))
    const all = updates.reduce((sum, { info }) => sum + info.examples!, 0)
    const expected = denseMean(
      plan,
      updates,
      updates.map(({ info }) => info.examples! / all),
    )
    const mean = await closed(plan, updates)
    expect(mean.layers.map(({ rank }) => rank)).toEqual(plan.layers.map(({ rank }) => rank))
    // B and, of a core, B R are rounded to f32 once each.
    expect(relative(effects(mean), expected)).toBeLessThan(1e-7)
    // The exact methods of all factors find the same sum; means of factors apart too, since A is one.
    for (const method of ['svd', 'stack', 'fedit'] as const) {
      const aggregator = await openAggregator(plan)
      for (const one of updates) await aggregator.add(one)
      const { adapter, relativeError } = await aggregator.finish({ method, ...(method === 'svd' ? { rank: 12 } : {}) })
      expect(relative(effects(adapter), expected), method).toBeLessThan(1e-6)
      expect(relativeError, method).toBeLessThan(1e-6)
    }
  })

  it('of one client, and of equal clients, is theirs; order and form of the updates change no bit', async () => {
    const alone = await tiny.planOf({ ...options(kind), clients: ['north'] })
    const own = await update('north', alone)
    expect(bits(await closed(alone, [own]))).toEqual(bits(own.adapter))
    const four = await tiny.planOf({ ...options(kind), clients: ['a', 'b', 'c', 'd'] })
    const data = tiny.clients.east!
    const sent = []
    for (const client of ['a', 'b', 'c', 'd'])
      sent.push(serializeUpdate(await train(tiny.base, data, four, { client })))
    // Quarters are exact in binary.
    expect(bits(await closed(four, sent))).toEqual(bits(parseUpdate(sent[0]!, four).adapter))
    const plan = plans[kind]
    const updates = [await update('north', plan), await update('east', plan), await update('south', plan)]
    const mean = bits(await closed(plan, updates))
    expect(bits(await closed(plan, [...updates].reverse()))).toEqual(mean)
    expect(bits(await closed(plan, updates.map(serializeUpdate)))).toEqual(mean)
  })

  it('is not taken of other updates, nor is another mean of these', async () => {
    const aggregator = await openAggregator(tiny.plan)
    // Two clients of LoRA have trained their A apart; ffa takes any updates with one A, fed-sb only its own.
    for (const client of ['north', 'south']) await aggregator.add(await update(client, tiny.plan))
    const code = kind === 'ffa' ? 'REFUSED' : 'ARGUMENT'
    await expect(aggregator.finish({ method: kind })).rejects.toMatchObject({ code })
    const own = await openAggregator(plans[kind])
    await own.add(await update('north', plans[kind]))
    await expect(own.finish({ method: 'fedavg' })).rejects.toMatchObject({ code: 'ARGUMENT' })
    await expect(own.finish({ method: kind, rank: 2 })).rejects.toMatchObject({ code: 'ARGUMENT' })
  })
})

describe.each(kinds)('updates of %s that break a rule', (kind) => {
  const copy = async () => parseUpdate(serializeUpdate(await update('north', plans[kind])), plans[kind])

  it.each<[string, RegExp, (one: Update) => Update]>([
    ['another A', /frozen/, (one) => withLayer(one, (layer) => ({ ...layer, a: layer.a.map((x) => 2 * x) }))],
    ['NaN', /finite/, (one) => withNumber(one, Number.NaN)],
    ['a shout', /norm/, (one) => withNumber(one, 1e6)],
    ['the kind of LoRA', /kinds/, (one) => ({ ...one, kind: 'lora' })],
    ...(kind === 'ffa'
      ? []
      : ([
          ['another B', /frozen/, (one) => withLayer(one, (layer) => ({ ...layer, b: layer.b.map((x) => 2 * x) }))],
          ['no core', /shape/, ({ cores: _, ...one }) => one],
        ] as [string, RegExp, (one: Update) => Update][])),
  ])('with %s are refused', async (_name, rule, change) => {
    await expect(closed(plans[kind], [change(await copy())])).rejects.toMatchObject(refusedAs(rule))
  })

  it('that were not trained are refused', async () => {
    const one = await copy()
    for (const values of one.cores ?? one.adapter.layers.map(({ b }) => b)) values.fill(0)
    const still = parseUpdate(serializeUpdate(one), plans[kind])
    const word = kind === 'ffa' ? 'lora_B' : 'core'
    await expect(closed(plans[kind], [still])).rejects.toMatchObject(refusedAs(new RegExp(`non-zero.*${word}`)))
    const two = await tiny.planOf({ ...options(kind), rounds: 2 })
    const exact = await closed(two, [await update('north', two)])
    const { sha256 } = startOfRound(two, 2, exact)
    const same = await update('north', two, { round: 2, start: exact })
    const unmoved = {
      ...same,
      adapter: startOfRound(two, 2, exact).trained,
      info: { ...same.info, startSha256: sha256 },
    }
    if (kind === 'ffa') await expect(closed(two, [unmoved], exact)).rejects.toMatchObject(refusedAs(/'trained'/))
  })

  it.each<[string, (name: string, shape: number[]) => [string, number[]][], RegExp]>([
    [
      'with A too',
      (name, shape) => [
        [name, shape],
        [name.replace(ending[kind], '.lora_A'), shape],
      ],
      /not a sound update/,
    ],
    [
      'with a tensor turned or cut',
      (name, [rows = 0, cols = 0]) => [[name, [rows * cols, 1]]],
      /shape|not a sound update/,
    ],
    ['of another layer', (name, shape) => [[name.replace('layers.0', 'layers.9'), shape]], /layers/],
    ['with a layer less', (name, shape) => (name.includes('layers.1.mlp') ? [] : [[name, shape]]), /layer/],
  ])('%s are refused', async (_name, change, message) => {
    const { tensors, metadata } = parseSafetensors(serializeUpdate(await update('north', plans[kind])), 'update')
    const changed = [...tensors].flatMap(([name, tensor]) =>
      change(name, [...tensor.shape]).map(([to, shape]) => [to, { ...tensor, shape }] as const),
    )
    const bytes = serializeSafetensors(new Map(changed), metadata)
    expect(() => parseUpdate(bytes, plans[kind])).toThrow(message)
  })

  it('and updates of other kinds are told apart', async () => {
    const own = serializeUpdate(await update('north', plans[kind]))
    const lora = serializeUpdate(await update('north', tiny.plan))
    expect(() => parseUpdate(lora, plans[kind])).toThrow(/kinds/)
    expect(() => parseUpdate(own, tiny.plan)).toThrow(/kinds/)
    expect(() => parseUpdate(own, plans[kind === 'ffa' ? 'fed-sb' : 'ffa'])).toThrow(/kinds/)
    for (let length = 0; length < own.length; length += 97)
      expect(() => parseUpdate(own.subarray(0, length), plans[kind])).toThrow()
  })
})

function withLayer(one: Update, change: (layer: Adapter['layers'][number]) => Adapter['layers'][number]): Update {
  const [first, ...rest] = one.adapter.layers
  return { ...one, adapter: makeAdapter([change(first!), ...rest]) }
}

/** Writes one number over the first of what travels. */
function withNumber(one: Update, value: number): Update {
  const travels = one.cores?.[0] ?? one.adapter.layers[0]!.b
  travels[0] = value
  if (one.cores === undefined) return one
  const plan = plans['fed-sb']
  return Number.isNaN(value) ? one : parseUpdate(serializeUpdate(one), plan)
}

describe.each(kinds)('rounds of %s', (kind) => {
  it('start from the mean as it is, through a folder too', async () => {
    const two = await tiny.planOf({ ...options(kind), rounds: 2, epochs: 1, weights: 'uniform' })
    const updates = [await update('north', two), await update('east', two)]
    const exact = await closed(two, updates)
    const folder = join(tiny.folder, `${kind}-start`)
    await exact.save(folder)
    const kept = await loadAdapter(folder)
    expect(adapterSha256(kept)).toBe(adapterSha256(exact))
    const start = startOfRound(two, 2, kept)
    expect(start.frozen).toEqual([])
    expect(bits(start.trained)).toEqual(bits(exact))
    // A client that learns nothing sends the start: the mean of the round before.
    const still = { ...two, train: { ...two.train, learningRate: 1e-30 } }
    const same = await update('south', still, { round: 2, start: kept })
    expect(distance(same.adapter, exact)).toBeLessThan(1e-6)
    if (kind === 'fed-sb')
      for (const [i, core] of same.cores!.entries())
        for (const [at, value] of core.entries()) {
          const mean = (updates[0]!.cores![i]![at]! + updates[1]!.cores![i]![at]!) / 2
          expect(Math.abs(value - mean)).toBeLessThan(1e-6 * Math.max(...core.map(Math.abs)))
        }
    const moved = await update('south', two, { round: 2, start: kept })
    expect(bits(await closed(two, [moved], kept))).toEqual(bits(moved.adapter))
    const other = makeAdapter(kept.layers.map((layer) => ({ ...layer, a: layer.a.map((x) => -x) })))
    await expect(update('south', two, { round: 2, start: other })).rejects.toMatchObject({ code: 'MISMATCH' })
    await expect(update('south', two, { round: 2, start: makeAdapter(kept.layers.slice(1)) })).rejects.toMatchObject({
      code: 'MISMATCH',
    })
    if (kind === 'ffa') return
    const turned = makeAdapter(kept.layers.map((layer) => ({ ...layer, b: layer.b.map((_, i) => Math.sin(i)) })))
    await expect(update('south', two, { round: 2, start: turned })).rejects.toMatchObject({ code: 'MISMATCH' })
  })

  it('compare with one round and pooled; what is uploaded is what travels', async () => {
    const two = await tiny.planOf({ ...options(kind), rounds: 2, epochs: 1 })
    const folder = join(tiny.folder, `${kind}-run`)
    const compare = ['base', 'client', '1x2', '2x1', 'pooled'] as const
    const { arms, adapter } = await simulate(tiny.base, tiny.clients, two, { compare: [...compare], folder })
    const arm = (name: string) => arms.find((one) => one.name === name)!
    for (const name of ['1x2', '2x1', 'pooled'])
      expect(arm(name).overall.loss, name).toBeLessThan(arm('base').overall.loss)
    const size = serializeUpdate(await update('north', two)).byteLength
    expect(arm('1x2').bytesUp / (3 * size)).toBeCloseTo(1, 1)
    expect(arm('2x1').bytesUp / (6 * size)).toBeCloseTo(1, 1)
    const both = await tiny.planOf({ ...options(kind), trainable: 'lora', learningRate: 0.01 })
    expect(size).toBeLessThan(serializeUpdate(await update('north', both)).byteLength)
    const kept = await loadAdapter(join(folder, 'adapter'))
    expect(bits(kept)).toEqual(bits(adapter))
    const held = tiny.clients.north!.heldOut(two.data.heldOut).heldOut
    expect((await evaluate(tiny.base, held, { adapter: kept })).loss).toBe(arm('2x1').perClient.north!.loss)
    let text = ''
    for await (const piece of generate(tiny.base, 'snow falls', { adapter: kept, maxTokens: 4 })) text += piece
    expect(text.length).toBeGreaterThan(0)
    const again = await simulate(tiny.base, tiny.clients, two, { compare: [...compare], folder, resume: true })
    expect(again.arms).toEqual(arms)
    rmSync(folder, { recursive: true })
  })

  it('are held near their start by fedprox, and tell the leak of an ablation', async () => {
    const two = await tiny.planOf({ ...options(kind), rounds: 2, epochs: 1 })
    const start = await closed(two, [await update('east', two)])
    const moved = async (strategy: PlanOptions) => {
      const plan = await tiny.planOf({ ...options(kind), rounds: 2, epochs: 1, ...strategy })
      const { adapter } = await update('north', plan, { round: 2, start })
      return distance(adapter, start)
    }
    const free = await moved({ strategy: 'fedavg' })
    const near = await moved({ strategy: 'fedprox', mu: 10 })
    expect(near).toBeLessThan(free)
    expect(await moved({ strategy: 'fedprox', mu: 1000 })).toBeLessThan(near)
    const { arms } = await simulate(tiny.base, tiny.clients, two, { compare: ['1x2', '1x2:shared-object-leak'] })
    expect(arms[1]!.overall.loss).not.toBe(arms[0]!.overall.loss)
  })

  it('begin with no effect and with what all clients can compute', () => {
    const { trained, sha256 } = initialStart(plans[kind])
    expect(trained.layers.every(({ b }) => b.every((value) => value === 0))).toBe(true)
    expect(initialStart(structuredClone(plans[kind])).sha256).toBe(sha256)
  })
})
