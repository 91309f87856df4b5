import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { measureRegMean, openAggregator, type RegMeanStatistic, train } from '../../src/index.js'
import type { Update } from '../../src/update/update.js'
import { type TinyFederation, tinyFederation, trainedWith } from './tiny.js'

const first = 'model.layers.0.self_attn'

let tiny: TinyFederation
let updates: Update[]
let statistics: Record<string, RegMeanStatistic>
beforeAll(async () => {
  tiny = await tinyFederation({ dropout: 0.1 })
  const each = await trainedWith(tiny, (client, update) =>
    measureRegMean(tiny.base, tiny.clients[client]!, tiny.plan, update, { threads: 1 }),
  )
  updates = each.updates
  statistics = each.measured
})
afterAll(() => tiny[Symbol.asyncDispose]())

const trained = (client: string) => tiny.clients[client]!.heldOut(tiny.plan.data.heldOut).train

describe("X'X of a layer's inputs", () => {
  test('is, in the first block, that of the normalised embeddings of all training tokens', async () => {
    const size = 32
    const embedding = await tiny.base.weights.read('model.embed_tokens.weight', 0, 257)
    const expected = new Float64Array(size * size)
    for (const { ids } of trained('north').examples)
      for (const id of ids) {
        const row = embedding.subarray(id * size, (id + 1) * size)
        const squares = row.reduce((sum, value) => sum + value * value, 0) / size
        const scale = 1 / (squares + tiny.base.spec.shape.normEpsilon)
        for (let i = 0; i < size; i++)
          for (let j = 0; j < size; j++) expected[i * size + j]! += row[i]! * row[j]! * scale
      }
    const told = statistics.north![`${first}.q_proj`]!.inputs
    for (const [i, value] of expected.entries()) expect(Math.abs(told[i]! - value)).toBeLessThan(1e-3)
    // q and v read the same rows.
    expect(statistics.north![`${first}.v_proj`]!.inputs).toEqual(told)
  })

  test('has the size of its layer, is symmetric, and changes with what was trained below it', async () => {
    const untrained = { ...updates[0]!, adapter: { ...updates[0]!.adapter, layers: zeroed(updates[0]!) } }
    const before = await measureRegMean(tiny.base, tiny.clients.north!, tiny.plan, untrained)
    const layer = 'model.layers.1.mlp.down_proj'
    const { inputs } = statistics.north![layer]!
    expect(inputs).toHaveLength(64 * 64)
    for (let i = 0; i < 64; i++)
      for (let j = 0; j < i; j++) expect(inputs[i * 64 + j]).toBeCloseTo(inputs[j * 64 + i]!, 3)
    expect(before[layer]!.inputs).not.toEqual(inputs)
    expect(before[`${first}.q_proj`]!.inputs).toEqual(statistics.north![`${first}.q_proj`]!.inputs)
  })

  test('has the same bits for any number of threads', async () => {
    const again = await measureRegMean(tiny.base, tiny.clients.north!, tiny.plan, updates[0]!, { threads: 3 })
    expect(again).toEqual(statistics.north)
  })
})

function zeroed({ adapter }: Update) {
  return adapter.layers.map((layer) => ({ ...layer, b: new Float32Array(layer.b.length) }))
}

test('regmean is closer than the mean to what each client computes on its own inputs', async () => {
  const sum = await openAggregator(tiny.plan)
  for (const update of updates) await sum.add(update)
  const weights = 'uniform' as const
  const merged = await sum.finish({ method: 'regmean', statistics, weights, rank: 16 })
  const mean = await sum.finish({ method: 'svd', weights, rank: 16 })
  // sum_i ||X_i (W - W_i)'||^2, all clients alike, as the method's own objective has it.
  const missed = ({ adapter }: typeof mean) =>
    updates.reduce(
      (all, update) =>
        all +
        adapter.layers.reduce(
          (layers, layer, l) =>
            layers +
            outputDistance(layer, update.adapter.layers[l]!, statistics[update.info.client]![layer.name]!.inputs),
          0,
        ),
      0,
    )
  expect(missed(merged)).toBeLessThan(0.95 * missed(mean))
})

type Factors = Update['adapter']['layers'][number]

/** trace(D G D') of two layers' difference D */
function outputDistance(left: Factors, right: Factors, gram: Float32Array): number {
  const { in: size, out } = left
  const difference = new Float64Array(out * size)
  for (const [{ a, b, rank, scale }, sign] of [
    [left, 1],
    [right, -1],
  ] as const)
    for (let o = 0; o < out; o++)
      for (let k = 0; k < rank; k++)
        for (let i = 0; i < size; i++) difference[o * size + i]! += sign * scale * b[o * rank + k]! * a[k * size + i]!
  let total = 0
  for (let o = 0; o < out; o++)
    for (let i = 0; i < size; i++)
      for (let j = 0; j < size; j++)
        total += difference[o * size + i]! * difference[o * size + j]! * gram[i * size + j]!
  return total
}

test('takes factors of any kind, and refuses whole tensors and data without a token', async () => {
  const data = tiny.clients.north!
  for (const trainable of ['ffa', 'fed-sb'] as const) {
    const plan = await tiny.planOf({ trainable, dropout: 0 })
    const update = await train(tiny.base, data, plan, { client: 'north' })
    const measured = await measureRegMean(tiny.base, data, plan, update)
    expect(Object.keys(measured)).toEqual(plan.layers.map(({ name }) => name))
  }
  const full = await tiny.planOf(fullOptions)
  await expect(measureRegMean(tiny.base, data, full, updates[0]!)).rejects.toThrow(
    expect.objectContaining({ code: 'UNSUPPORTED' }),
  )
})

const fullOptions = {
  trainable: 'full',
  targets: undefined,
  rank: undefined,
  alpha: undefined,
  dropout: undefined,
  method: 'fedavg',
} as never

test('an engine that is given sums of another size refuses them', async () => {
  const { openSession } = await import('../../src/train/session.js')
  const { loraSlots } = await import('../../src/train/slots.js')
  const session = openSession(tiny.base, {
    slots: loraSlots(tiny.plan.layers, 0),
    overlay: [],
    threads: 1,
    rowsPerPass: 32,
    longestExample: 32,
    training: false,
  })
  const batch = {
    ids: Int32Array.of(1),
    labels: Int32Array.of(-100),
    lengths: Int32Array.of(1),
    dropoutCounters: new Uint32Array(1),
  }
  expect(() => session.addInputs(batch, [])).toThrow(expect.objectContaining({ code: 'ARGUMENT' }))
  const short = tiny.plan.layers.map(() => new Float32Array(5))
  expect(() => session.addInputs(batch, short)).toThrow(expect.objectContaining({ code: 'ARGUMENT' }))
  session.close()
})
