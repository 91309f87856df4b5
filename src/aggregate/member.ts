import type { UpdateInfo } from '../update/update.js'

/** `updates`: every client's factors. `sums`: factors while they are the smaller form, then the sum on the grid. */
export type Keep = 'updates' | 'sums'

/** Of one layer: A [rank, in], B [out, rank]. */
export interface Factors {
  a: Float32Array
  b: Float32Array
}

/** A client that has been added, as an accumulator keeps it. */
export interface Member {
  info: UpdateInfo
  /** of the update file */
  sha256: string
  /** bound of its elements on the grid, in steps, over all layers */
  steps: number
  /** by layer, there where factors are kept; beside sums nobody but the accumulator has these arrays */
  factors: Map<string, Factors>
}
