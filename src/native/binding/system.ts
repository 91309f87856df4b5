export interface CpuInfo {
  /** the set in use, e.g. `avx512` */
  isa: string
  /** every set that this machine could use, worst first */
  available: string[]
  /** whether the set in use has bf16 products */
  bf16: boolean
  cores: number
  /** bytes that may still be taken: the least of MemAvailable and the cgroup's rest */
  memoryAvailable: number
}

export interface SystemBinding {
  cpu(): CpuInfo
  /** Philox 4x32-10 stream: uniform in [0,1) or standard normal; the same on every machine */
  random(seed: number, stream: number, count: number, distribution: 'uniform' | 'normal'): Float32Array
  /** [rows, cols] row-major with orthonormal columns, cols <= rows: Q of a Gaussian stream's QR; the same on every machine */
  orthonormal(seed: number, stream: number, rows: number, cols: number): Float32Array
}
