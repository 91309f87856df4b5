/** What all clients of a round trained upon, as factors: the form in which the sums take it. */
import { type DenseDelta, layerOfWeight } from '../adapter/dense.js'
import { isConv1d } from '../adapter/peft-save.js'
import { turn } from '../model/tensors.js'
import type { OverlayLayer } from '../native/binding/overlay.js'

/** Factors as they are; a whole matrix D as D I or I D, whichever is smaller. No number is rounded. */
export function frozenFactors(overlay: readonly OverlayLayer[], dense: readonly DenseDelta[]): OverlayLayer[] {
  return [...overlay, ...dense.map(asFactors)]
}

function asFactors({ name, shape, values }: DenseDelta): OverlayLayer {
  const layer = layerOfWeight(name)
  const [rows = 0, cols = 0] = shape
  // D is [out, in]; Conv1D's weights lie the other way round.
  const d = isConv1d(layer) ? turn(values, rows, cols) : values
  const [out, inDim] = isConv1d(layer) ? [cols, rows] : [rows, cols]
  return out < inDim ? { layer, rank: out, a: d, b: identity(out) } : { layer, rank: inDim, a: identity(inDim), b: d }
}

function identity(size: number): Float32Array {
  const out = new Float32Array(size * size)
  for (let i = 0; i < size; i++) out[i * size + i] = 1
  return out
}
