/** The addon's probe over the tensors that a plan trains: points are adapters, batches are examples. */
import type { Adapter } from '../adapter/adapter.js'
import { toBatch } from '../data/batches.js'
import type { Example } from '../data/dataset.js'
import type { Model } from '../model/open.js'
import { baseTensors, turn } from '../model/tensors.js'
import type { NativeProbe, PointTerm } from '../native/binding/probe.js'
import type { MemoryBudget } from '../native/binding/session.js'
import type { StepResult } from '../native/binding/step.js'
import { native } from '../native/load.js'
import { passShape } from '../train/budget.js'
import { aborted, checkAborted, type JobOptions, threadsOf } from '../train/job.js'
import { checkMemory } from '../train/memory.js'
import type { Plan } from '../update/plan.js'

/** Names of the tensors that a plan moves, as the base spells them. */
export function trainedTensors(base: Model, plan: Plan): string[] {
  return plan.train.trainable.kind === 'full'
    ? base.spec.tensors.map((tensor) => tensor.name)
    : plan.layers.map((layer) => `${layer.name}.weight`)
}

/** What a point adds to the base; `scale` multiplies all of it. */
interface Point {
  adapter: Adapter
  scale: number
}

/** Sums over one tensor, or over all: see NativeProbe.compare. */
export interface Comparison {
  point: number
  step: number
  gradient: number
  keptGradient: number
  product: number
  change: number
  slope: number
  bend: number
}

const FIELDS = ['point', 'step', 'gradient', 'keptGradient', 'product', 'change', 'slope', 'bend'] as const

/** Gradients of chosen batches at chosen points. Counts the rows that went forward and back, which is what it costs. */
export class Probe implements Disposable {
  readonly tensors: readonly string[]
  readonly budget: MemoryBudget
  /** tokens read forward and back so far */
  rows = 0
  readonly #native: NativeProbe
  readonly #turned: ReadonlySet<string>
  readonly #signal: AbortSignal | undefined
  readonly #stop: () => void

  /** @param examples all that will be read; the longest sizes the passes */
  constructor(base: Model, plan: Plan, examples: readonly Example[], o: JobOptions = {}) {
    this.tensors = trainedTensors(base, plan)
    this.#turned = new Set(baseTensors(base.spec).flatMap(({ name, turned }) => (turned ? [name] : [])))
    const perStep = plan.train.batch * plan.train.accumulate
    const options = { tensors: [...this.tensors], threads: threadsOf(o), ...passShape(examples, perStep) }
    const binding = native()
    this.budget = binding.probeBudget(base.weights, options)
    checkMemory(this.budget)
    this.#native = new binding.Probe(base.weights, options)
    this.#signal = o.signal
    this.#stop = () => this.#native.abort()
    o.signal?.addEventListener('abort', this.#stop)
  }

  /** Moves to the base plus the given points; without any, to the base itself. */
  place(...points: readonly Point[]): Promise<void> {
    return this.#run(() =>
      this.#native.place(points.flatMap(({ adapter, scale }) => termsOf(adapter, scale, this.#turned))),
    )
  }

  /** The gradient of the examples' mean loss at the present point. @throws OneroundError NUMERIC where it is not finite */
  async gradient(examples: readonly Example[]): Promise<StepResult> {
    const result = await this.#run(() => this.#native.gradient(toBatch(examples)))
    this.rows += examples.reduce((sum, example) => sum + example.ids.length, 0)
    return result
  }

  /** Keeps the present point, and its gradient times `weight`; with `add` the gradient joins those kept before. */
  keep(weight = 1, add = false): Promise<void> {
    return this.#run(() => this.#native.keep(weight, add))
  }

  /** Steps from the kept point in a random direction; draw 0 to 65535. */
  stepRandom(seed: number, draw: number, length: number): Promise<void> {
    return this.#run(() => this.#native.stepRandom(seed, draw, length))
  }

  /** Steps from the kept point along the difference of the two gradients. */
  stepAlongChange(length: number): Promise<void> {
    return this.#run(() => this.#native.stepAlongChange(length))
  }

  /** The present point and gradient beside the kept ones, one entry a tensor. */
  async compare(): Promise<Comparison[]> {
    const flat = await this.#run(() => this.#native.compare())
    return this.tensors.map(
      (_, i) =>
        Object.fromEntries(
          FIELDS.map((field, j) => [field, flat[i * FIELDS.length + j] ?? 0]),
        ) as unknown as Comparison,
    )
  }

  [Symbol.dispose](): void {
    this.#signal?.removeEventListener('abort', this.#stop)
    this.#native.close()
  }

  async #run<T>(job: () => Promise<T>): Promise<T> {
    checkAborted(this.#signal)
    try {
      return await job()
    } catch (error) {
      if (this.#signal?.aborted) throw aborted(error)
      throw error
    }
  }
}

/** All tensors together. */
export function total(parts: readonly Comparison[]): Comparison {
  return Object.fromEntries(
    FIELDS.map((field) => [field, parts.reduce((sum, part) => sum + part[field], 0)]),
  ) as unknown as Comparison
}

function termsOf(adapter: Adapter, scale: number, turned: ReadonlySet<string>): PointTerm[] {
  const factors = adapter.layers
    .filter((layer) => layer.rank > 0)
    .map(({ name, rank, scale: own, a, b }) => ({ tensor: `${name}.weight`, rank, weight: scale * own, a, b }))
  const dense = adapter.dense.map(({ name, shape: [rows = 1, columns = 1], values }) => ({
    tensor: name,
    rank: 0,
    weight: scale,
    // The probe takes a dense term as the base's file lies.
    a: turned.has(name) ? turn(values, rows, columns) : values,
    b: new Float32Array(0),
  }))
  return [...factors, ...dense]
}
