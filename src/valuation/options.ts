import type { JobOptions } from '../train/job.js'
import type { MemoryNotice } from '../train/memory.js'
import type { Learnable } from './learn.js'

export interface ValueOptions extends JobOptions {
  /**
   * orders of clients to sample, made even; default: none up to 10 clients, where values are exact, else 32. More orders
   * narrow the sampling intervals by the root of their number
   */
  samples?: number | undefined
  /** of the orders; default: the plan's */
  seed?: number | undefined
  /** default: nothing */
  learn?: readonly Learnable[] | undefined
  /** folder of the losses of coalitions: kept as they come, and gone on with; default: nothing is kept */
  keep?: string | undefined
  onMemory?: ((notice: MemoryNotice) => void) | undefined
}
