import type { FactorPair } from './factors.js'

/** What goes to one layer's grid. */
interface GridAddends {
  in: number
  out: number
  /** [out, in] */
  grid: BigInt64Array
  /** it is all zeros */
  isNew: boolean
  pairs: FactorPair[]
}

/** Sums on a grid of integers, which do not depend on the order of what is added. */
export interface GridBinding {
  /**
   * grid [out, in] += round(weight_i B_i A_i), element by element, for each pair; weights are in steps of the grid, and
   * a negative one takes back exactly what the positive one added. The same bits in any order and on any instruction
   * set. The grid is changed in place while the job runs: do not transfer it. Fails where an element may reach 2^51
   * steps (see elementBound), before anything is added.
   */
  addToGrid(inDim: number, outDim: number, grid: BigInt64Array, pairs: FactorPair[], threads: number): Promise<void>
  /**
   * The same of several layers at once, each on one thread. Nothing is copied: neither grids nor pairs may be changed,
   * transferred or resized before the promise settles. Every pair's elementBound must be below 2^51 steps.
   */
  addToGrids(layers: GridAddends[], threads: number): Promise<void>
  /** grid * factor, rounded to f32 */
  gridValues(grid: BigInt64Array, factor: number): Float32Array
  /** into += from */
  mergeGrids(into: BigInt64Array, from: BigInt64Array): void
  /** sum_i |weight_i| max_j |row j of B_i| max_k |column k of A_i|: no element of the sum is larger */
  elementBound(inDim: number, outDim: number, pairs: FactorPair[]): number
  /** The Euclidean norm of each, in double; finite exactly where every number is. */
  norms(arrays: Float32Array[]): Float64Array
}
