/** Long work on the event loop in short slices, so that timers fire and a signal is heard between them. */
import { setImmediate } from 'node:timers/promises'
import { OneroundError } from '../errors.js'

/** The promised limit is 10 ms; what is left over is for the one call that ends a slice late. */
const SLICE_MS = 6

export class Slices {
  #began = performance.now()
  readonly #signal: AbortSignal | undefined

  constructor(signal?: AbortSignal) {
    this.#signal = signal
  }

  /**
   * True when the slice is used up. Asking is cheap, awaiting a promise for each row is not:
   * `if (slices.due()) await slices.turn()`.
   */
  due(): boolean {
    return performance.now() - this.#began > SLICE_MS
  }

  /** Lets the event loop turn once. @throws OneroundError ABORTED */
  async turn(): Promise<void> {
    await setImmediate()
    if (this.#signal?.aborted) {
      throw new OneroundError('ABORTED', 'Loading data was stopped.', {
        fix: 'Start it again; nothing was written.',
        cause: this.#signal.reason,
      })
    }
    this.#began = performance.now()
  }
}
