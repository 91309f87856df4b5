/** The mean of ffa and fed-sb is the exact sum. */
import { describe, expect, it } from 'vitest'
import { openAggregator } from '../../../src/aggregate/aggregator.js'
import { train } from '../../../src/train/train.js'
import type { Plan } from '../../../src/update/plan.js'
import { sharedFactors } from '../../../src/update/shared-factors.js'
import { parseUpdate, serializeUpdate, type Update } from '../../../src/update/update.js'
import { bits, effects } from '../tiny.js'
import { closed, kinds, optionsOf, sharedPlans } from './shared-plans.js'

const shared = sharedPlans()

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

describe.each(kinds)('the mean of %s', (kind) => {
  it('is the exact sum, of the rank of the plan', async () => {
    const plan = shared.plans[kind]
    const updates = await Promise.all(['north', 'east', 'south'].map((client) => shared.update(client, plan)))
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
    const alone = await shared.tiny.planOf({ ...optionsOf(kind), clients: ['north'] })
    const own = await shared.update('north', alone)
    expect(bits(await closed(alone, [own]))).toEqual(bits(own.adapter))
    const four = await shared.tiny.planOf({ ...optionsOf(kind), clients: ['a', 'b', 'c', 'd'] })
    const data = shared.tiny.clients.east!
    const sent = []
    for (const client of ['a', 'b', 'c', 'd'])
      sent.push(serializeUpdate(await train(shared.tiny.base, data, four, { client })))
    // Quarters are exact in binary.
    expect(bits(await closed(four, sent))).toEqual(bits(parseUpdate(sent[0]!, four).adapter))
    const plan = shared.plans[kind]
    const updates = [
      await shared.update('north', plan),
      await shared.update('east', plan),
      await shared.update('south', plan),
    ]
    const mean = bits(await closed(plan, updates))
    expect(bits(await closed(plan, [...updates].reverse()))).toEqual(mean)
    expect(bits(await closed(plan, updates.map(serializeUpdate)))).toEqual(mean)
  })

  it('is not taken of other updates, nor is another mean of these', async () => {
    const aggregator = await openAggregator(shared.tiny.plan)
    // Two clients of LoRA have trained their A apart; ffa takes any updates with one A, fed-sb only its own.
    for (const client of ['north', 'south']) await aggregator.add(await shared.update(client, shared.tiny.plan))
    const code = kind === 'ffa' ? 'REFUSED' : 'ARGUMENT'
    await expect(aggregator.finish({ method: kind })).rejects.toMatchObject({ code })
    const own = await openAggregator(shared.plans[kind])
    await own.add(await shared.update('north', shared.plans[kind]))
    await expect(own.finish({ method: 'fedavg' })).rejects.toMatchObject({ code: 'ARGUMENT' })
    await expect(own.finish({ method: kind, rank: 2 })).rejects.toMatchObject({ code: 'ARGUMENT' })
  })
})
