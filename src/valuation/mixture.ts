/** The start of a round plus any weighted sum of its updates, in one session: only numbers change from one to the next. */
import type { AdapterLayer } from '../adapter/adapter.js'
import type { DenseDelta } from '../adapter/dense.js'
import type { Model } from '../model/open.js'
import { baseTensors, turn } from '../model/tensors.js'
import type { NativeSession, SessionOptions } from '../native/binding/session.js'
import { loadDense } from '../train/dense.js'
import { type OpenOptions, openSession } from '../train/session.js'
import { denseSlots, loraSlots } from '../train/slots.js'
import type { Start } from '../train/start.js'
import type { Update } from '../update/update.js'

export interface Mixture extends Disposable {
  readonly session: NativeSession
  /** W = start + sum_i c_i (W_i - start), W_i what client i alone would give; one c a client */
  set(coefficients: readonly number[]): void
  /** dL/dc_i from the session's flat gradient at the present parameters */
  slopes(gradient: Float32Array): number[]
}

type Shape = Pick<SessionOptions, 'threads' | 'rowsPerPass' | 'longestExample' | 'training'>

/** `updates` of one round and one plan, checked, in the order of the coefficients. */
export function openMixture(
  base: Model,
  start: Start,
  updates: readonly Update[],
  shape: Shape,
  o: OpenOptions = {},
): Mixture {
  const isFull = updates.some(({ adapter }) => adapter.dense.length > 0)
  return isFull ? new DenseMixture(base, start, updates, shape, o) : new FactorMixture(base, start, updates, shape, o)
}

/** What the start's own factors or nothing at all count: one minus the rest, where rounding is no rest. */
function restOf(coefficients: readonly number[]): number {
  const rest = 1 - coefficients.reduce((sum, c) => sum + c, 0)
  return Math.abs(rest) < 1e-12 ? 0 : rest
}

/**
 * One slot a layer: B = [B_1 .. B_m], A = [c_1 s A_1; ..; c_m s A_m], of the sum of all ranks. B never changes, and a
 * change of coefficients is a product a number of A. A later round's start stands in the stack like a client's.
 */
class FactorMixture implements Mixture {
  readonly session: NativeSession
  /** by layer: the start (none where it does nothing), then the clients */
  readonly #stacks: readonly (readonly AdapterLayer[])[]
  readonly #hasStart: boolean
  readonly #flat: Float32Array

  constructor(base: Model, start: Start, updates: readonly Update[], shape: Shape, o: OpenOptions) {
    this.#hasStart = start.trained.layers.some(({ b }) => b.some((value) => value !== 0))
    const adapters = updates.map(({ adapter }) => adapter)
    const parts = this.#hasStart ? [start.trained, ...adapters] : adapters
    this.#stacks = start.trained.layers.map((_, at) => parts.map(({ layers }) => layers[at] as AdapterLayer))
    const layers = this.#stacks.map((stack) => ({
      ...(stack[0] as AdapterLayer),
      rank: stack.reduce((sum, { rank }) => sum + rank, 0),
      scale: 1,
    }))
    const slots = loraSlots(layers, 0)
    this.session = openSession(base, { ...shape, slots, overlay: start.frozen }, o)
    this.#flat = new Float32Array(this.session.parameterCount)
    let at = 0
    for (const [i, { rank, in: inDim, out }] of layers.entries()) {
      at += rank * inDim
      fillColumns(this.#flat.subarray(at, at + out * rank), this.#stacks[i] ?? [], rank)
      at += out * rank
    }
  }

  set(coefficients: readonly number[]): void {
    const all = this.#hasStart ? [restOf(coefficients), ...coefficients] : coefficients
    this.#overRows((part, { a, scale }, at) => {
      const factor = (all[part] ?? 0) * scale
      for (let i = 0; i < a.length; i++) this.#flat[at + i] = factor * (a[i] ?? 0)
    })
    this.session.setParameters(this.#flat)
  }

  slopes(gradient: Float32Array): number[] {
    const out: number[] = []
    this.#overRows((part, { a, scale }, at) => {
      let sum = 0
      for (let i = 0; i < a.length; i++) sum += (gradient[at + i] ?? 0) * (a[i] ?? 0)
      out[part] = (out[part] ?? 0) + scale * sum
    })
    if (!this.#hasStart) return out
    const [own = 0, ...others] = out
    return others.map((slope) => slope - own)
  }

  [Symbol.dispose](): void {
    this.session.close()
  }

  /** Each part's rows of A, where they lie in the flat buffer. */
  #overRows(each: (part: number, layer: AdapterLayer, at: number) => void): void {
    let at = 0
    for (const stack of this.#stacks) {
      for (const [part, layer] of stack.entries()) {
        each(part, layer, at)
        at += layer.a.length
      }
      for (const { b } of stack) at += b.length
    }
  }
}

/** [B_1 .. B_m], [out, rank] */
function fillColumns(into: Float32Array, stack: readonly AdapterLayer[], rank: number): void {
  let first = 0
  for (const part of stack) {
    for (let row = 0; row < part.out; row++)
      into.set(part.b.subarray(row * part.rank, (row + 1) * part.rank), row * rank + first)
    first += part.rank
  }
}

/** Whole tensors: base + start + sum c_i delta_i, the sum in double, rounded once, added to the base in f32. */
class DenseMixture implements Mixture {
  readonly session: NativeSession
  readonly #base: Model
  readonly #start: ReadonlyMap<string, Float32Array>
  /** by tensor, in the order of the slots; clients in theirs */
  readonly #tensors: readonly { name: string; shape: number[]; deltas: Float32Array[] }[]

  constructor(base: Model, start: Start, updates: readonly Update[], shape: Shape, o: OpenOptions) {
    this.#base = base
    this.#start = new Map(start.dense.map(({ name, values }) => [name, values]))
    const [first] = updates
    this.#tensors = (first?.adapter.dense ?? []).map(({ name, shape: dims }, at) => ({
      name,
      shape: dims,
      deltas: updates.map(({ adapter }) => (adapter.dense[at] as DenseDelta).values),
    }))
    this.session = openSession(base, { ...shape, slots: denseSlots(this.#tensors), overlay: [] }, o)
  }

  set(coefficients: readonly number[]): void {
    const sums = this.#tensors.map(({ name, shape, deltas }) => {
      const from = this.#start.get(name)
      const sum = from === undefined ? new Float64Array((deltas[0] as Float32Array).length) : Float64Array.from(from)
      for (const [client, values] of deltas.entries()) {
        const c = coefficients[client] ?? 0
        if (c === 0) continue
        for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] ?? 0) + c * (values[i] ?? 0)
      }
      return { name, shape, values: Float32Array.from(sum) }
    })
    loadDense(this.session, this.#base, this.#tensors, sums)
  }

  slopes(gradient: Float32Array): number[] {
    const turned = new Set(
      baseTensors(this.#base.spec)
        .filter((tensor) => tensor.turned)
        .map(({ name }) => name),
    )
    const out: number[] = []
    let at = 0
    for (const { name, shape, deltas } of this.#tensors) {
      for (const [client, delta] of deltas.entries()) {
        const values = turned.has(name) ? turn(delta, shape[0] ?? 0, shape[1] ?? 0) : delta
        let sum = 0
        for (let i = 0; i < values.length; i++) sum += (gradient[at + i] ?? 0) * (values[i] ?? 0)
        out[client] = (out[client] ?? 0) + sum
      }
      at += deltas[0]?.length ?? 0
    }
    return out
  }

  [Symbol.dispose](): void {
    this.session.close()
  }
}
