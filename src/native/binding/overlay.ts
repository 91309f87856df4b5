/** What is added to a frozen layer without being trained: y += B A x. A [rank, in], B [out, rank]. */
export interface OverlayLayer {
  layer: string
  rank: number
  a: Float32Array
  b: Float32Array
}

/** The same as a whole matrix: y += W x, W [out, in] row-major. */
export interface DenseOverlay {
  layer: string
  dense: Float32Array
}
