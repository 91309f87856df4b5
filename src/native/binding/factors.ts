/** One layer's factors for a native product: A [rank, in], B [out, rank], the effect weight * B A. */
export interface FactorPair {
  rank: number
  a: Float32Array
  b: Float32Array
  weight: number
}

export interface FactorizedSum {
  /** numeric rank kept */
  rank: number
  /** [rank, in] */
  a: Float32Array
  /** [out, rank] */
  b: Float32Array
  /** all singular values of the exact sum, descending */
  singularValues: Float64Array
}

/** What factorizeDense gives: the factors, and the norms of the matrix and of what they leave out. */
export interface FactorizedDense extends FactorizedSum {
  /** Frobenius */
  norm: number
  /** Frobenius norm of the rest, at most 1e-7 more than the least; told to about 1e-8 of the norm */
  lost: number
}

/** Sums of low-rank products, their factors, norms and inner products, in double. */
export interface FactorBinding {
  /**
   * The best factors of sum_i weight_i B_i A_i by QR of the stacks and a small SVD, in double.
   * Keeps the smallest rank <= maxRank whose relative Frobenius error is <= tolerance (0: full numeric rank).
   * B = U sqrt(S), A = sqrt(S) V'. Runs on its own thread.
   */
  factorizeSum(
    inDim: number,
    outDim: number,
    pairs: FactorPair[],
    maxRank: number,
    tolerance: number,
  ): Promise<FactorizedSum>
  /** The best factors of values [out, in], as factorizeSum; for few directions of many through the smaller Gram matrix. */
  factorizeDense(
    inDim: number,
    outDim: number,
    values: Float32Array,
    maxRank: number,
    tolerance: number,
  ): Promise<FactorizedDense>
  /** The same of grid * factor for the grid that addToGrid makes of the pairs, which JavaScript never sees. */
  factorizeOnGrid(
    inDim: number,
    outDim: number,
    pairs: FactorPair[],
    factor: number,
    maxRank: number,
    tolerance: number,
  ): Promise<FactorizedDense>
  /** The same of grid * factor for a grid that is there, which must not be changed before the promise settles. */
  factorizeGrid(
    inDim: number,
    outDim: number,
    grid: BigInt64Array,
    factor: number,
    maxRank: number,
    tolerance: number,
  ): Promise<FactorizedDense>
  /** sum_i weight_i B_i A_i + denseWeight * dense as [out, in]; `dense` may be empty. The norm is from before the rounding to f32. */
  denseSum(
    inDim: number,
    outDim: number,
    pairs: FactorPair[],
    dense: Float32Array,
    denseWeight: number,
  ): Promise<{ values: Float32Array; squaredNorm: number }>
  /** ||sum_i weight_i B_i A_i||_F^2 from inner products of factors, in double; no dense matrix */
  sumSquaredNorm(inDim: number, outDim: number, pairs: FactorPair[]): number
  /** [m, m]: weight_i weight_j <B_i A_i, B_j A_j>, from inner products of factors, in double */
  productGram(inDim: number, outDim: number, pairs: FactorPair[]): Promise<Float64Array>
}
