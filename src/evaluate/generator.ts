import type { Adapter } from '../adapter/adapter.js'
import type { Model } from '../model/open.js'
import type { NativeSession } from '../native/binding.js'
import { openAdapted } from '../train/adapted.js'
import { type JobOptions, threadsOf } from '../train/job.js'
import type { MemoryNotice } from '../train/memory.js'
import { continueText, endOf, type TextEnd, type TextOptions } from './continue-text.js'
import { checkAdapter } from './loss.js'

export type { TextEnd, TextOptions } from './continue-text.js'

/** Tokens of the cache are rounded up to whole tiles. */
const step = 32

/** A base with one adapter, held open to continue several prompts, one after another. */
export class Generator implements Disposable {
  readonly #base: Model
  readonly #session: NativeSession
  readonly #capacity: number

  /** `longest`: tokens of the longest prompt and of what is generated after it; it sizes the session */
  constructor(
    base: Model,
    adapter: Adapter | undefined,
    longest: number,
    o: JobOptions & { onMemory?: ((notice: MemoryNotice) => void) | undefined },
  ) {
    checkAdapter(base, adapter)
    this.#base = base
    this.#capacity = Math.min(base.spec.maxPositions, Math.ceil(longest / step) * step)
    const rows = { rowsPerPass: this.#capacity, longestExample: this.#capacity, cache: this.#capacity }
    this.#session = openAdapted(base, adapter, { threads: threadsOf(o), ...rows }, { onMemory: o.onMemory })
  }

  /**
   * The text that follows a prompt, in pieces.
   * @param prompt at least one token
   * @throws OneroundError ARGUMENT (a prompt as long as the session, or an option), NUMERIC, ABORTED
   */
  async *text(prompt: readonly number[], o: TextOptions, signal?: AbortSignal): AsyncGenerator<string, TextEnd> {
    const ends = endOf(this.#base)
    return yield* continueText(
      this.#session,
      this.#base.tokenizer,
      prompt,
      { ...o, capacity: this.#capacity, ends },
      signal,
    )
  }

  [Symbol.dispose](): void {
    this.#session.close()
  }
}
