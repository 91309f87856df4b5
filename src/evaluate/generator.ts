import type { Adapter } from '../adapter/adapter.js'
import type { Model } from '../model/open.js'
import type { NativeSession } from '../native/binding/session.js'
import { openAdapted } from '../train/adapted.js'
import { type JobOptions, threadsOf } from '../train/job.js'
import type { MemoryNotice } from '../train/memory.js'
import { continueText, endOf, type NextToken, type TextEnd, type TextOptions } from './continue-text.js'
import { Lanes } from './lanes.js'
import { checkAdapter } from './loss.js'

export type { TextEnd, TextOptions } from './continue-text.js'

/** Tokens of the cache are rounded up to whole tiles. */
const step = 32

/** Texts that grow side by side: each takes its place in the cache, of which there is so much in all. */
const mostLanes = 16
const mostCache = 512 * 2 ** 20

/** A base with one adapter, held open to continue several prompts, one after another or side by side. */
export class Generator implements Disposable {
  readonly #base: Model
  readonly #session: NativeSession
  readonly #capacity: number
  readonly #sequences: number

  /**
   * @param longest tokens of the longest prompt and of what is generated after it; it sizes the session
   * @param texts how many there are to grow side by side; one takes the way that is fastest for a single text
   */
  constructor(
    base: Model,
    adapter: Adapter | undefined,
    longest: number,
    o: JobOptions & { onMemory?: ((notice: MemoryNotice) => void) | undefined },
    texts = 1,
  ) {
    checkAdapter(base, adapter)
    this.#base = base
    this.#capacity = Math.min(base.spec.maxPositions, Math.ceil(longest / step) * step)
    const { layers, kvHeads, headDim } = base.spec.shape
    const bytes = 2 * layers * kvHeads * headDim * this.#capacity * Float32Array.BYTES_PER_ELEMENT
    // Two at least where there are several: one alone would be computed with other roundings.
    this.#sequences = Math.min(texts, mostLanes, Math.max(2, Math.floor(mostCache / bytes)))
    const size = { longestExample: this.#capacity, cache: this.#capacity, sequences: this.#sequences }
    const rows = { rowsPerPass: Math.max(this.#capacity, this.#sequences), ...size }
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

  /**
   * The whole texts that follow prompts, side by side. A text does not depend on the others; where two tokens are equally
   * likely but for rounding it may differ from that of `text`.
   * @param onText told of each text as it ends, in any order
   * @throws OneroundError ARGUMENT, NUMERIC, ABORTED
   */
  async texts(
    prompts: readonly (readonly number[])[],
    o: TextOptions,
    onText: (index: number, text: string) => void,
    signal?: AbortSignal,
  ): Promise<void> {
    const { tokenizer, spec } = this.#base
    const lanes = new Lanes(this.#session, spec.shape.vocabulary)
    const options = { ...o, capacity: this.#capacity, ends: endOf(this.#base) }
    let next = 0
    const work = async (lane: number, model: NextToken): Promise<void> => {
      try {
        for (let at = next++; at < prompts.length; at = next++) {
          let text = ''
          for await (const piece of continueText(model, tokenizer, prompts[at] ?? [], options, signal)) text += piece
          onText(at, text)
        }
      } finally {
        lanes.leave(lane)
      }
    }
    const models = Array.from({ length: Math.min(this.#sequences, prompts.length) }, (_, lane) => lanes.take(lane))
    const settled = await Promise.allSettled(models.map((model, lane) => work(lane, model)))
    const failed = settled.find((one) => one.status === 'rejected')
    if (failed !== undefined) throw failed.reason
  }

  [Symbol.dispose](): void {
    this.#session.close()
  }
}
