/** What every method takes and gives, one layer at a time. */
import type { AdapterLayer } from '../adapter/adapter.js'
import type { FactorPair, OverlayLayer } from '../native/binding.js'

/** One client's factors of one layer. Its part of the exact sum is weight * scale * B A. */
export interface Part {
  client: string
  /** p_i; they sum to 1 over the clients of the layer */
  weight: number
  rank: number
  scale: number
  /** [rank, in] */
  a: Float32Array
  /** [out, rank] */
  b: Float32Array
}

/** The exact sum of one layer, not yet computed: the parts, by client name, and what all clients trained upon. */
export interface LayerSum {
  name: string
  in: number
  out: number
  /** of the plan */
  rank: number
  parts: Part[]
  /** frozen products that every client had; they count once, since the weights sum to 1 */
  overlay: OverlayLayer[]
}

export interface MethodOptions {
  /** svd only; 'auto': the smallest with relative error <= 1e-3, at most twice the plan's */
  rank: number | 'auto'
}

export interface LayerOutcome {
  layer: AdapterLayer
  /** Frobenius norm of exact sum minus result */
  lost: number
  /** Frobenius norm of the exact sum; 0 where an exact method did not need it */
  norm: number
}

export type LayerMethod = (sum: LayerSum, options: MethodOptions) => Promise<LayerOutcome>

/** The summands as the addon takes them. Clients of weight 0 take no part, in no method. */
export function pairsOf(sum: LayerSum): FactorPair[] {
  return [
    ...sum.parts
      .filter((part) => part.weight !== 0)
      .map(({ rank, a, b, weight, scale }) => ({ rank, a, b, weight: weight * scale })),
    ...sum.overlay.map(({ rank, a, b }) => ({ rank, a, b, weight: 1 })),
  ]
}

/** lost / norm, where nothing out of nothing is no error. */
export function relative(lost: number, norm: number): number {
  return lost === 0 ? 0 : lost / norm
}
