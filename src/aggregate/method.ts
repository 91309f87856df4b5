/** What every method takes and gives, one layer at a time. */
import type { AdapterLayer } from '../adapter/adapter.js'
import type { FactorizedDense, FactorPair } from '../native/binding/factors.js'
import type { OverlayLayer } from '../native/binding/overlay.js'
import type { StatisticReader } from './statistics.js'

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
  /** empty where only the sum was kept */
  parts: Part[]
  /** frozen products that every client had; they count once, since the weights sum to 1 */
  overlay: OverlayLayer[]
  /**
   * The sum of the parts as a dense matrix [out, in], from the grid: there where the ranks add up to so much that
   * factors would be larger. Absent where the factors are the smaller form.
   */
  dense?: () => Promise<Float32Array>
  /** The best factors of that matrix without an overlay, where it need not be kept. The same bits. */
  denseFactors?: (maxRank: number, tolerance: number) => Promise<FactorizedDense>
}

/** How many directions an adapter keeps. */
export type RankRule =
  /** at most so many */
  | number
  /** the smallest with relative error <= 1e-3, at most twice the plan's */
  | 'auto'
  /** the smallest that keeps this share of the squared singular values of each layer, above 0 and at most 1 */
  | { energy: number }
  /** by layer name; layers that are not named: 'auto' */
  | { layers: Readonly<Record<string, number>> }

/** Everything that a method may be told. Each reads what its row of the table names. */
export interface MethodOptions {
  rank: RankRule
  /** task-arithmetic, ties: factor of the merged update; default 1 */
  lambda?: number | undefined
  /** ties, knots: share of each update's elements that is kept, by magnitude; default 0.2 */
  density?: number | undefined
  /** dare: probability that an element is left out; default 0.9 */
  drop?: number | undefined
  /** dare; default 0 */
  seed?: number | undefined
  /** trimmed-mean: share of the clients left out at either end, below 0.5; default 0.1 */
  trim?: number | undefined
  /** krum, multi-krum: clients that may be hostile; default the most that krum allows, floor((m - 3) / 2) */
  byzantine?: number | undefined
  /** norm-clipping: largest norm of an update; default the median of the norms */
  clip?: number | undefined
  /** cat: weight of each client in each layer; layers that are not named take the plan's weights */
  layerWeights?: Readonly<Record<string, Readonly<Record<string, number>>>> | undefined
  /** fisher, regmean: what the clients measured */
  statistics?: StatisticReader | undefined
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
  return [...clientPairs(sum), ...overlayPairs(sum)]
}

export function clientPairs(sum: LayerSum): FactorPair[] {
  return sum.parts
    .filter((part) => part.weight !== 0)
    .map(({ rank, a, b, weight, scale }) => ({ rank, a, b, weight: weight * scale }))
}

export function overlayPairs(sum: LayerSum): FactorPair[] {
  return sum.overlay.map(({ rank, a, b }) => ({ rank, a, b, weight: 1 }))
}

/** True where factors of these ranks together hold at least as many numbers as the dense matrix. */
export function isDense(layer: { in: number; out: number }, ranks: number): boolean {
  return ranks * (layer.in + layer.out) >= layer.in * layer.out
}

/** lost / norm, where nothing out of nothing is no error. */
export function relative(lost: number, norm: number): number {
  return lost === 0 ? 0 : lost / norm
}
