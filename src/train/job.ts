import { OneroundError } from '../errors.js'
import { native } from '../native/load.js'

/** How far a long call is. */
export interface Progress {
  /** what is being done, e.g. `train`, `evaluate` */
  phase: string
  client?: string
  /** from 1 */
  round?: number
  /** tokens read so far, of `total`; the unit of one phase never changes */
  done: number
  total: number
  /** estimate from the speed so far; NaN while there is none */
  secondsLeft: number
  /** of the last step, nats a token */
  loss?: number
  /** of the held-out part, where it was just looked at */
  heldOutLoss?: number
}

/** What every long call takes. */
export interface JobOptions {
  /** stops the call within 100 ms; it then ends with code ABORTED */
  signal?: AbortSignal | undefined
  onProgress?: ((progress: Progress) => void) | undefined
  /** worker threads; the result has the same bits for any number. Default: all cores */
  threads?: number | undefined
  /**
   * training: keep only each block's input and compute the block again on the way back. The result has the same bits;
   * activations take a fraction of the memory, and a step one more forward pass. Default: only where nothing else fits
   */
  recompute?: boolean | undefined
  /** default `cpu` */
  device?: 'cpu' | 'cuda' | undefined
}

/** Checks `threads` and `device`; returns the number of threads. */
export function threadsOf(o: JobOptions): number {
  if (o.device !== undefined && o.device !== 'cpu') {
    throw new OneroundError('UNSUPPORTED', `The device ${String(o.device)} is not built.`, {
      found: String(o.device),
      expected: 'cpu',
      fix: 'Leave out device (--device), or set it to cpu.',
    })
  }
  const threads = o.threads ?? native().cpu().cores
  if (!Number.isSafeInteger(threads) || threads < 1 || threads > 1024) {
    throw new OneroundError('ARGUMENT', 'threads is not a count.', {
      found: String(o.threads),
      expected: 'a whole number from 1 to 1024',
      fix: 'Leave out threads (--threads) to use every core.',
    })
  }
  return threads
}

/** Throws ABORTED where the signal has fired. */
export function checkAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw aborted(signal.reason)
}

export function aborted(cause?: unknown): OneroundError {
  return new OneroundError('ABORTED', 'Stopped before the end, as asked.', {
    fix: 'Start it again with --resume (API: resume: true); what was finished is not redone.',
    cause,
  })
}

/** Whether an error is the addon's or our own ABORTED. */
export function isAborted(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ABORTED'
}

/** Seconds left from the speed since this clock was made. */
export class Clock {
  readonly #start = performance.now()
  readonly #from: number

  /** `from`: what was done before, e.g. in a checkpoint */
  constructor(from = 0) {
    this.#from = from
  }

  secondsLeft(done: number, total: number): number {
    const fresh = done - this.#from
    return fresh > 0 ? (((performance.now() - this.#start) / 1000) * (total - done)) / fresh : Number.NaN
  }
}
