/** L, curvature and the turn of the gradient, from gradients of the same batch at two points. */
import type { Adapter } from '../adapter/adapter.js'
import type { Example } from '../data/dataset.js'
import { Draws } from '../data/random.js'
import type { Budget } from './budget.js'
import { rowsOf } from './local-path.js'
import { type Comparison, type Probe, total } from './probe.js'
import { DIAGNOSE_STREAM, estimate, isNarrow, mean } from './statistics.js'
import type { Curvature, GradientNoise, Known, Smoothness, Unknown } from './types.js'

/** Fewer draws give no interval, so these are taken even where the budget is smaller; it is then said to be passed. */
const LEAST_DRAWS = 4
const MOST_DRAWS = 64
/** Half-width of the interval of L that is enough, relative to L. */
const TARGET = 0.15
const POWER_ITERATIONS = 6
const NOISE_BATCHES = 4

interface Measured {
  smoothness: Smoothness
  curvature: Curvature
  noise: Known<GradientNoise>
}

/** What to measure along: the base, and the points of one path from it. */
interface Course {
  probe: Probe
  /** from the first step on; the last is the end of training */
  points: readonly Adapter[]
  /** ||end - base|| */
  distance: number
  examples: readonly Example[]
  /** examples of one batch */
  perBatch: number
  seed: number
}

/** Batches of distinct examples, drawn anew whenever all were used. */
function batches({ examples, perBatch, seed }: Course): () => Example[] {
  const draws = new Draws(seed, DIAGNOSE_STREAM.batches, 0)
  let left: Example[] = []
  return () => {
    const batch: Example[] = []
    while (batch.length < Math.min(perBatch, examples.length)) {
      if (left.length === 0) left = [...examples]
      const [taken] = left.splice(Math.floor(draws.uniform() * left.length), 1)
      if (taken && !batch.includes(taken)) batch.push(taken)
    }
    return batch
  }
}

const smoothnessOf = ({ change, step }: Comparison) => Math.sqrt(change / step)

/** Draws until L is narrow or the budget ends. */
export async function measureSmoothness(course: Course, budget: Budget): Promise<Measured> {
  const { probe, points, distance, seed } = course
  const next = batches(course)
  const end = points.at(-1) as Adapter
  const draws = new Draws(seed, DIAGNOSE_STREAM.batches, 1)
  const ends: number[] = []
  const neighbours: number[] = []
  const random: number[] = []
  const along: number[] = []
  const turns: number[] = []
  const alignments: number[] = []
  const perLayer = probe.tensors.map(() => [] as number[])
  const spend = async (batch: readonly Example[]) => {
    await probe.gradient(batch)
    budget.spent += rowsOf(batch)
  }
  const isSettled = () => {
    const found = estimate(ends, seed)
    return ends.length >= LEAST_DRAWS && found !== undefined && isNarrow(found, TARGET)
  }
  for (let draw = 0; draw < MOST_DRAWS && !isSettled(); draw++) {
    const batch = next()
    const t = Math.floor(draws.uniform() * points.length)
    const passes = t === 0 ? 4 : 5
    if (draw >= LEAST_DRAWS && !budget.has(passes * rowsOf(batch))) break
    await probe.place()
    await spend(batch)
    await probe.keep()
    await probe.place({ adapter: end, scale: 1 })
    await spend(batch)
    const parts = await probe.compare()
    const whole = total(parts)
    ends.push(smoothnessOf(whole))
    along.push(whole.bend / whole.step)
    turns.push(Math.sqrt(whole.change / whole.keptGradient))
    alignments.push(whole.product / Math.sqrt(whole.gradient * whole.keptGradient))
    for (const [i, part] of parts.entries()) if (part.step > 0) perLayer[i]?.push(smoothnessOf(part))
    await probe.stepRandom(seed, draw, distance)
    await spend(batch)
    random.push(smoothnessOf(total(await probe.compare())))
    if (points.length < 2) continue
    if (t > 0) {
      await probe.place({ adapter: points[t - 1] as Adapter, scale: 1 })
      await spend(batch)
      await probe.keep()
    }
    await probe.place({ adapter: points[t] as Adapter, scale: 1 })
    await spend(batch)
    neighbours.push(smoothnessOf(total(await probe.compare())))
  }
  const settled = isSettled()
  if (!settled) budget.unsettled.push('L: its interval is wider than asked')
  const strongest = await powerIteration(course, next(), budget)
  const noise = await measureNoise(course, next, budget)
  return {
    smoothness: {
      ...optional('ends', estimate(ends, seed)),
      ...optional('neighbours', estimate(neighbours, seed)),
      ...optional('random', estimate(random, seed)),
      layers: probe.tensors
        .map((name, i) => ({ name, mean: mean(perLayer[i] ?? []), draws: perLayer[i]?.length ?? 0 }))
        .filter(({ draws: n }) => n > 0),
      settled,
      target: TARGET,
    },
    curvature: {
      alongPath: estimateOf(along, seed),
      turn: estimateOf(turns, seed),
      alignment: estimateOf(alignments, seed),
      ...optional('strongest', strongest),
    },
    noise,
  }
}

/** From a random direction; each step costs one gradient. A tenth of the path's length is short enough for a difference. */
async function powerIteration({ probe, distance, seed }: Course, batch: readonly Example[], budget: Budget) {
  const rows = rowsOf(batch)
  if (!budget.has((POWER_ITERATIONS + 2) * rows)) {
    budget.unsettled.push('the strongest curvature at the base')
    return undefined
  }
  const length = distance / 10
  const spend = async () => {
    await probe.gradient(batch)
    budget.spent += rows
  }
  await probe.place()
  await spend()
  await probe.keep()
  await probe.stepRandom(seed, 0xffff, length)
  let value = Number.NaN
  let lastChange = Number.NaN
  for (let i = 0; i < POWER_ITERATIONS; i++) {
    await spend()
    const { bend, step } = total(await probe.compare())
    lastChange = Math.abs(bend / step - value) / Math.abs(bend / step)
    value = bend / step
    if (i + 1 < POWER_ITERATIONS) await probe.stepAlongChange(length)
  }
  return { value, iterations: POWER_ITERATIONS, lastChange }
}

/** Products of different batches' gradients estimate ||g||^2 without the batches' own noise. */
async function measureNoise(
  { probe, examples, perBatch }: Course,
  next: () => Example[],
  budget: Budget,
): Promise<Known<GradientNoise>> {
  const open = (why: string): Unknown => {
    budget.unsettled.push(`the noise of batches: ${why}`)
    return { unknown: why }
  }
  const rows = Math.round((rowsOf(examples) / examples.length) * perBatch)
  if (examples.length < 2 * perBatch) return open('there are fewer examples than two batches')
  if (!budget.has(NOISE_BATCHES * rows)) return open('the budget ended before it')
  const norms: number[] = []
  const products: number[] = []
  await probe.place()
  for (let i = 0; i < NOISE_BATCHES; i++) {
    const batch = next()
    await probe.gradient(batch)
    budget.spent += rowsOf(batch)
    const { gradient, product } = total(await probe.compare())
    norms.push(gradient)
    if (i > 0) products.push(product)
    await probe.keep()
  }
  if (!(mean(products) > 0)) return open('the gradients of batches have nothing in common')
  return { relativeVariance: Math.max(0, mean(norms) / mean(products) - 1), batches: NOISE_BATCHES }
}

function estimateOf(values: readonly number[], seed: number) {
  return estimate(values, seed) ?? { draws: 0, mean: 0, medianOfMeans: 0 }
}

function optional<K extends string, T>(key: K, value: T | undefined): Partial<Record<K, T>> {
  return value === undefined ? {} : ({ [key]: value } as Partial<Record<K, T>>)
}
