import type { StorageType } from './weights.js'

/** One product for a benchmark: y [rows, out] = x w', or d_x [rows, in] = d_y w where `backward`. */
interface ProductProbe {
  type: StorageType
  rows: number
  in: number
  out: number
  backward: boolean
  compute: 'f32' | 'bf16'
  threads: number
  repeats: number
}

/** For benchmarks; all three block for what they measure. */
export interface PeakBinding {
  /** multiply-adds of all threads, times two, a second */
  probePeak(compute: 'f32' | 'bf16', threads: number): number
  /** bytes a second that all threads read together from a buffer of `bytes` */
  probeBandwidth(threads: number, bytes: number): number
  /** seconds of each repeat */
  probeProduct(product: ProductProbe): Float64Array
}
