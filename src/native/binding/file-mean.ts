export interface FileMeanBinding {
  /**
   * The first `size` bytes of each of at most 1024 files, one file behind another; `lengths`: how many there are of each, or -1 of
   * what cannot be read as a plain file.
   */
  fileHeads(paths: string[], size: number): Promise<{ bytes: Uint8Array; lengths: Float64Array }>
  /**
   * sum_f weight_f x_f over files of f32 numbers, mapped and read once; they must not become shorter meanwhile.
   * `lengths`: numbers of each tensor, one behind another from `offset` (bytes) on, alike in all files.
   * squares [files, tensors]: sums of squares, finite exactly where all numbers are.
   */
  meanOfFiles(
    files: { path: string; offset: number; weight: number }[],
    lengths: number[],
    threads: number,
  ): Promise<{ mean: Float32Array; squares: Float64Array }>
}
