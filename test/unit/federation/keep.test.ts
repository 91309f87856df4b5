import { setImmediate } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Keep, openAggregator } from '../../../src/aggregate/aggregator.js'
import { closeRound, keepOf } from '../../../src/federation/server.js'
import { initialStart } from '../../../src/train/start.js'
import type { Plan } from '../../../src/update/plan.js'
import type { Update } from '../../../src/update/update.js'
import { bits, type TinyFederation, tinyFederation } from '../../federation/tiny.js'
import { addProduct, dense, distance, randomUpdate } from '../aggregate/dense.js'

let tiny: TinyFederation
beforeAll(async () => {
  tiny = await tinyFederation()
})
afterAll(() => tiny[Symbol.asyncDispose]())

test('a round of few clients keeps their updates, one of very many sums them as they come', () => {
  expect(keepOf(tiny.plan, 3, {})).toBe('updates')
  expect(keepOf(tiny.plan, 1_000_000, {})).toBe('sums')
})

test('what needs each update again keeps them, however many', () => {
  expect(keepOf(tiny.plan, 1_000_000, { method: 'ties' })).toBe('updates')
  expect(keepOf(tiny.plan, 1_000_000, { weights: 'uniform' })).toBe('updates')
  expect(keepOf(tiny.plan, 1_000_000, { weights: tiny.plan.aggregate.weights })).toBe('sums')
})

test('between rounds only the exact sum is wanted, whatever method serves in the end', async () => {
  const ties = await tiny.planOf({ method: 'ties', rounds: 2 })
  expect(keepOf(ties, 1_000_000, {})).toBe('updates')
  expect(keepOf(ties, 1_000_000, undefined)).toBe('sums')
  const ffa = await tiny.planOf({ trainable: 'ffa', dropout: 0, rounds: 2 })
  expect(keepOf(ffa, 1_000_000, undefined)).toBe('updates')
})

/** Updates of a round, made one by one as they are asked for. */
function* madeInTurn(plan: Plan, count: number): Generator<Update> {
  const { sha256: startSha256 } = initialStart(plan)
  for (let i = 0; i < count; i++) {
    yield randomUpdate(plan, `client-${i}`, i + 1, { startSha256, examples: 1 + (i % 7) })
  }
}

async function exactOf(plan: Plan, count: number, keep: Keep | undefined) {
  const closed = await closeRound(plan, initialStart(plan), madeInTurn(plan, count), { keep })
  if (closed.last) throw new Error('a round before the last')
  return closed.exact
}

const manyOf = (more: object = {}) => tiny.planOf({ clients: [], rounds: 2, epochs: 1, ...more })

test.each([2, 5, 6, 11, 30])('a round of %i clients has the same bits summed as kept', async (count) => {
  const plan = await manyOf()
  const kept = await exactOf(plan, count, 'updates')
  expect(bits(await exactOf(plan, count, 'sums'))).toEqual(bits(kept))
  expect(bits(await exactOf(plan, count, undefined))).toEqual(bits(kept))
  // What all this is about: the weighted sum itself.
  const shares = Array.from({ length: count }, (_, i) => 1 + (i % 7))
  const total = shares.reduce((sum, share) => sum + share, 0)
  const updates = [...madeInTurn(plan, count)]
  const [layer] = plan.layers
  const wanted = new Float64Array(layer!.in * layer!.out)
  for (const [i, { adapter }] of updates.entries()) addProduct(wanted, adapter.layers[0]!, shares[i]! / total)
  const found = dense(kept.layers.find(({ name }) => name === layer!.name)!)
  const rest = kept.dense.find(({ name }) => name === `${layer!.name}.weight`)
  if (rest) for (const [i, value] of rest.values.entries()) found[i]! += value
  expect(distance(found, wanted)).toBeLessThan(2e-6)
})

test("a strategy's step goes from the same sum", async () => {
  const plan = await manyOf({ strategy: 'fedavgm' })
  expect(bits(await exactOf(plan, 20, 'sums'))).toEqual(bits(await exactOf(plan, 20, 'updates')))
})

test('summed as they come, all but the newest update is gone', async () => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const plan = await manyOf()
  const alive = async (keep: Keep) => {
    const aggregator = await openAggregator(plan, undefined, { keep })
    const factors: WeakRef<Float32Array>[] = []
    for (const update of madeInTurn(plan, 40)) {
      factors.push(new WeakRef(update.adapter.layers[0]!.a))
      await aggregator.add(update)
    }
    // What a reference was made to or read from lives to the end of the turn.
    await setImmediate()
    collect()
    return factors.filter((factor) => factor.deref() !== undefined).length
  }
  expect(await alive('updates')).toBe(40)
  expect(await alive('sums')).toBeLessThanOrEqual(1)
})
