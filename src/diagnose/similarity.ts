/** What the updates say by themselves: directions, sizes, ranks, and who stands apart. Needs no data and no base. */
import { setImmediate as turn } from 'node:timers/promises'
import { openAggregator } from '../aggregate/aggregator.js'
import { gram } from '../aggregate/gram.js'
import { byClient } from '../aggregate/sums.js'
import { native } from '../native/load.js'
import type { Plan } from '../update/plan.js'
import type { Update } from '../update/update.js'
import { effectOf, innerProduct, type TensorEffect } from './effect.js'
import { mean, median } from './statistics.js'
import type { Similarity } from './types.js'

/** Multiplications that comparing whole deltas pair by pair may take: a few seconds. */
const MOST_WORK = 4e9
/** Clients whose pairs are told: more make a report that nobody reads. */
const MOST_COMPARED = 200
/** Distance from the median in normal standard deviations that makes an outlier (Iglewicz and Hoaglin, 1993). */
const OUTLIER = 3.5
const LEAST_FOR_OUTLIERS = 5

/** @param updates of one round, already checked; in any order */
export async function measureSimilarity(plan: Plan, updates: readonly Update[]): Promise<Similarity> {
  const sorted = byClient(updates)
  const aggregator = await openAggregator(plan)
  for (const update of sorted) await aggregator.add(update)
  const { weights, relativeError } = await aggregator.finish({
    method: plan.aggregate.method === 'fedit' ? 'svd' : plan.aggregate.method,
  })
  const effects = sorted.map(({ adapter }) => effectOf({ adapter, weight: 1 }))
  const sum = effectOf(...sorted.map(({ adapter, info }) => ({ adapter, weight: weights[info.client] ?? 0 })))
  const spectra = await Promise.all(effects.map((effect) => spectrumOf(effect)))
  const whole = await spectrumOf(sum)
  const norms = spectra.map((spectrum) => spectrum.norm)
  const shares = sorted.map(({ info }) => weights[info.client] ?? 0)
  const { compared, products, withSum } = sorted.every(({ adapter }) => adapter.dense.length === 0)
    ? await productsOfFactors(sorted, shares)
    : await productsOfDeltas(effects, sum)
  const cosines: number[] = []
  for (let i = 0; i < compared.length; i++)
    for (let j = i + 1; j < compared.length; j++) cosines.push(cosine(products, i, j))
  const toAggregate = withSum.map((product, i) => product / ((norms[i] ?? 0) * whole.norm))
  const marks = outliers(norms, toAggregate)
  const sumOfNorms = shares.reduce((total, share, i) => total + share * (norms[i] ?? 0), 0)
  const fedit = plan.train.trainable.kind === 'lora' ? await feditError(aggregator) : undefined
  return {
    clients: sorted.map(({ info }, i) => ({
      client: info.client,
      norm: norms[i] ?? 0,
      effectiveRank: spectra[i]?.effectiveRank ?? 0,
      toAggregate: toAggregate[i] ?? 0,
      ...(marks[i] === undefined ? {} : { outlier: marks[i] }),
    })),
    compared: compared.map((i) => sorted[i]?.info.client ?? ''),
    cosines,
    meanCosine: cosines.length > 0 ? mean(cosines) : 1,
    retention: whole.norm / sumOfNorms,
    effectiveRank: whole.effectiveRank,
    errors: { svd: relativeError, ...(fedit === undefined ? {} : { fedit }) },
  }
}

async function feditError(aggregator: Awaited<ReturnType<typeof openAggregator>>): Promise<number | undefined> {
  try {
    return (await aggregator.finish({ method: 'fedit', rank: 'auto' })).relativeError
  } catch {
    // Mixed ranks cannot be averaged apart at all.
    return undefined
  }
}

interface Products {
  /** places of the clients that are compared pair by pair */
  compared: number[]
  /** <dW_i, dW_j> of those */
  products: number[][]
  /** <dW_i, sum_j p_j dW_j> of every client */
  withSum: number[]
}

/** All pairs at once in the addon; those with the sum follow, since it is linear. */
async function productsOfFactors(updates: readonly Update[], shares: readonly number[]): Promise<Products> {
  const { values } = await gram(updates)
  const m = updates.length
  const at = (i: number, j: number) => values[i * m + j] ?? 0
  const compared = spread(m, MOST_COMPARED)
  return {
    compared,
    products: compared.map((i) => compared.map((j) => at(i, j))),
    withSum: updates.map((_, i) => shares.reduce((total, share, j) => total + share * at(i, j), 0)),
  }
}

async function productsOfDeltas(
  effects: readonly Map<string, TensorEffect>[],
  sum: Map<string, TensorEffect>,
): Promise<Products> {
  const compared = comparable(effects)
  const withSum: number[] = []
  for (const effect of effects) withSum.push(await inner(effect, sum))
  return { compared, products: await gramOf(compared.map((i) => effects[i] as Map<string, TensorEffect>)), withSum }
}

/** As many clients as can be compared pair by pair within the work allowed. */
function comparable(effects: readonly Map<string, TensorEffect>[]): number[] {
  let perPair = 0
  for (const { in: inDim, out } of effects[0]?.values() ?? []) perPair += inDim * out
  const most = Math.floor((1 + Math.sqrt(1 + (8 * MOST_WORK) / Math.max(1, perPair))) / 2)
  return spread(effects.length, Math.min(MOST_COMPARED, Math.max(2, most)))
}

/** At most `most` places of a list of `length`, spread over it. */
function spread(length: number, most: number): number[] {
  const count = Math.min(length, most)
  return Array.from({ length: count }, (_, i) => Math.floor((i * length) / count))
}

async function gramOf(effects: readonly Map<string, TensorEffect>[]): Promise<number[][]> {
  const gram = effects.map(() => effects.map(() => 0))
  for (const [i, x] of effects.entries()) {
    for (let j = i; j < effects.length; j++) {
      const value = await inner(x, effects[j] as Map<string, TensorEffect>)
      ;(gram[i] as number[])[j] = value
      ;(gram[j] as number[])[i] = value
    }
  }
  return gram
}

async function inner(x: Map<string, TensorEffect>, y: Map<string, TensorEffect>): Promise<number> {
  // Timers and sockets get a turn between two pairs.
  await turn()
  let sum = 0
  for (const [name, effect] of x) {
    const other = y.get(name)
    if (other !== undefined) sum += innerProduct(effect, other)
  }
  return sum
}

function cosine(gram: readonly (readonly number[])[], i: number, j: number): number {
  const at = (a: number, b: number) => gram[a]?.[b] ?? 0
  return at(i, j) / Math.sqrt(at(i, i) * at(j, j))
}

/**
 * Norm over all tensors, and the effective rank: the exponential of the entropy of the squared singular values' shares
 * (after Roy and Vetterli, EUSIPCO 2007), averaged over the factored tensors by their energy.
 */
async function spectrumOf(effect: Map<string, TensorEffect>): Promise<{ norm: number; effectiveRank: number }> {
  let squared = 0
  let factored = 0
  let ranks = 0
  for (const tensor of effect.values()) {
    if (tensor.dense.length > 0) {
      squared += Math.max(0, innerProduct(tensor, tensor))
      continue
    }
    const { singularValues } = await native().factorizeSum(tensor.in, tensor.out, tensor.pairs, 1, 1)
    const energies = [...singularValues].map((value) => value * value).filter((value) => value > 0)
    const energy = energies.reduce((sum, value) => sum + value, 0)
    if (energy === 0) continue
    const entropy = energies.reduce((sum, value) => sum - (value / energy) * Math.log(value / energy), 0)
    squared += energy
    factored += energy
    ranks += energy * Math.exp(entropy)
  }
  return { norm: Math.sqrt(squared), effectiveRank: factored > 0 ? ranks / factored : 0 }
}

/** Clients whose size or direction lies far from the others', by the median absolute deviation. */
function outliers(norms: readonly number[], directions: readonly number[]): (string | undefined)[] {
  if (norms.length < LEAST_FOR_OUTLIERS) return norms.map(() => undefined)
  const far = (values: readonly number[]) => {
    const center = median(values)
    const spread = 1.4826 * median(values.map((value) => Math.abs(value - center)))
    return values.map((value) => (spread > 0 ? (value - center) / spread : 0))
  }
  const [sizes, turns] = [far(norms.map(Math.log)), far(directions)]
  return norms.map((_, i) => {
    const size = sizes[i] ?? 0
    if (Math.abs(size) > OUTLIER) return size > 0 ? 'far larger than the others' : 'far smaller than the others'
    return (turns[i] ?? 0) < -OUTLIER ? 'another direction than the others' : undefined
  })
}
