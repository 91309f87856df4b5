/** Whole tensors in a session: base plus delta in, trained minus start out. */
import { countOf, type DenseDelta } from '../adapter/dense.js'
import type { Model } from '../model/open.js'
import { type BaseTensor, baseTensors, type TensorShape, turn } from '../model/tensors.js'
import type { TrainingSession } from './session.js'

/**
 * Dense slots take the base's numbers plus the deltas, each sum rounded to f32 once. `tensors` are the session's dense
 * slots in their order, before all others.
 */
export function loadDense(
  session: TrainingSession,
  base: Model,
  tensors: readonly TensorShape[],
  dense: readonly DenseDelta[],
): void {
  session.loadBase()
  const deltas = new Map(dense.map((delta) => [delta.name, delta.values]))
  for (const { name, first, turned, shape } of places(base, tensors)) {
    const values = deltas.get(name)
    if (values !== undefined) session.addParameters(first, turned ? turn(values, shape[0] ?? 0, shape[1] ?? 0) : values)
  }
}

/** What training changed: `changed` minus what the session holds, rounded to f32 once, in place of `changed`, whose memory the deltas share. */
export function changesOf(
  session: TrainingSession,
  base: Model,
  tensors: readonly TensorShape[],
  changed: Float32Array,
): DenseDelta[] {
  return places(base, tensors).map(({ name, shape, first, turned }) => {
    const count = countOf(shape)
    const values = changed.subarray(first, first + count)
    const start = session.parameters(first, count)
    for (let i = 0; i < count; i++) values[i] = (values[i] ?? 0) - (start[i] ?? 0)
    return { name, shape: [...shape], values: turned ? turn(values, shape[1] ?? 0, shape[0] ?? 0) : values }
  })
}

/** Where each tensor begins in the flat buffer. */
function places(base: Model, tensors: readonly TensorShape[]): (BaseTensor & { first: number })[] {
  const known = new Map(baseTensors(base.spec).map((tensor) => [tensor.name, tensor]))
  let first = 0
  return tensors.map(({ name, shape }) => {
    const place = { name, shape: [...shape], turned: known.get(name)?.turned ?? false, first }
    first += countOf(shape)
    return place
  })
}
