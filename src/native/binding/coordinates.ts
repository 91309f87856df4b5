import type { FactorPair } from './factors.js'

/** One client's part of a coordinate-wise method; `weight` scales its update. */
export interface CoordinatePart extends FactorPair {
  /** p_i */
  share: number
  /** dare: the seeded stream of this client and layer, a 32-bit number */
  stream: number
}

export interface CoordinateOptions {
  rule: 'median' | 'trimmed-mean' | 'ties' | 'dare'
  /** trimmed-mean: values left out at either end of each coordinate */
  trimmed: number
  /** ties: share of each update's elements in a layer that is kept, by magnitude */
  density: number
  /** dare: probability that an element is left out */
  drop: number
  seed: number
}

export interface CoordinateBinding {
  /** A method that looks at each element of the updates apart; [out, in]. Dense rows are made a few at a time. */
  coordinateWise(
    inDim: number,
    outDim: number,
    parts: CoordinatePart[],
    options: CoordinateOptions,
  ): Promise<Float32Array>
}
