/** Five clients of two layers, what a method makes of them, and what it is held against: dense sums in double. */
import { expect } from 'vitest'
import { type Aggregate, type FinishOptions, openAggregator } from '../../../src/aggregate/aggregator.js'
import type { Update } from '../../../src/update/update.js'
import { dense, distance, norm, randomUpdate, tinyPlan } from './dense.js'
import { weightedSum } from './references.js'

// 40 x 31: five clients of rank 4 stay factors. 12 x 10: they do not. rsLoRA's scale, GPT-2's names.
export const layers = [
  { name: 'transformer.h.0.mlp.c_fc', in: 40, out: 31, rank: 4, scale: 4 },
  { name: 'transformer.h.0.attn.c_proj', in: 12, out: 10, rank: 4, scale: 4 },
]
export const plan = tinyPlan(layers, {}, ['examples', 'tokens'], { rsLora: true })
export const names = ['ann', 'bob', 'cyd', 'dan', 'eve']
export const updates = names.map((client, i) => randomUpdate(plan, client, i + 11, { examples: i + 1 }))
export const shares = [1, 2, 3, 4, 5].map((n) => n / 15)
export const full = 31

export async function run(list: readonly Update[], options: FinishOptions): Promise<Aggregate> {
  const aggregator = await openAggregator(plan)
  for (const update of list) await aggregator.add(update)
  return aggregator.finish(options)
}

export const denseLayer = (index: number, list: readonly Update[] = updates) =>
  list.map((update) => dense(update.adapter.layers[index]!))

/** All layers one behind another: what krum and others see as one update. */
export function whole(list: readonly Update[] = updates): Float64Array[] {
  return list.map((_, i) => Float64Array.from(layers.flatMap((__, l) => [...denseLayer(l, list)[i]!])))
}

/** The result's layers are the references; the errors told are those of the references against the exact sum. */
export function expectResult(result: Aggregate, references: readonly Float64Array[], tolerance = 3e-7): void {
  let [lost, all] = [0, 0]
  references.forEach((reference, i) => {
    const got = dense(result.adapter.layers[i]!)
    expect(distance(got, reference)).toBeLessThan(tolerance)
    const exact = weightedSum(denseLayer(i), shares)
    const error = distance(reference, exact)
    expect(Math.abs(result.layers[i]!.relativeError - error)).toBeLessThan(1e-6)
    lost += (error * norm(exact)) ** 2
    all += norm(exact) ** 2
  })
  expect(Math.abs(result.relativeError - Math.sqrt(lost / all))).toBeLessThan(1e-6)
}

export const bySum = (coefficients: readonly number[]) => layers.map((_, i) => weightedSum(denseLayer(i), coefficients))
