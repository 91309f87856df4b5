export interface FileMeanBinding {
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
