import type { Adapter } from '../adapter/adapter.js'
import { OneroundError } from '../errors.js'
import type { Model } from '../model/open.js'
import type { NativeSession } from '../native/binding.js'
import { openAdapted } from '../train/adapted.js'
import { aborted, checkAborted, type JobOptions, threadsOf } from '../train/job.js'
import type { MemoryNotice } from '../train/memory.js'
import { checkAdapter } from './loss.js'
import { checkSampling, type SamplingOptions, sample } from './sampling.js'
import { Stops } from './stops.js'
import { TextStream } from './text-stream.js'

export interface TextOptions extends SamplingOptions {
  /** most tokens that are generated; the model's own length may end a text before */
  maxTokens: number
  /** the text ends before the first of these */
  stop: readonly string[]
}

/** Why a text ended: the model's end of text, a stop string, or its length. */
export interface TextEnd {
  reason: 'end' | 'stop' | 'length'
  promptTokens: number
  /** generated, the end of text not among them */
  tokens: number
}

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
    checkSampling(o)
    if (!Number.isSafeInteger(o.maxTokens) || o.maxTokens < 1) throw notCount(o.maxTokens)
    const room = this.#capacity - prompt.length
    if (prompt.length === 0 || room < 1) throw badPrompt(prompt.length, this.#capacity)
    const stream = new TextStream(this.#base.tokenizer)
    const stops = new Stops(o.stop)
    const most = Math.min(o.maxTokens, room)
    const abort = () => this.#session.abort()
    signal?.addEventListener('abort', abort)
    const end: TextEnd = { reason: 'length', promptTokens: prompt.length, tokens: 0 }
    try {
      checkAborted(signal)
      let logits = await this.#session.prefill(Int32Array.from(prompt))
      for (;;) {
        checkAborted(signal)
        const id = sample(logits, o, end.tokens)
        if (this.#ends(id)) {
          end.reason = 'end'
          break
        }
        end.tokens++
        const piece = stops.push(stream.push(id))
        if (piece !== '') yield piece
        if (stops.stopped) {
          end.reason = 'stop'
          return end
        }
        if (end.tokens === most) break
        logits = await this.#session.next(id)
      }
      const last = stops.push(stream.end())
      const rest = stops.stopped ? last : last + stops.end()
      if (stops.stopped) end.reason = 'stop'
      if (rest !== '') yield rest
      return end
    } catch (error) {
      if (signal?.aborted) throw aborted(error)
      throw error
    } finally {
      signal?.removeEventListener('abort', abort)
    }
  }

  #ends(id: number): boolean {
    // A vocabulary is often padded to a round number: a token that no text stands for ends a text, too.
    return (
      id === this.#base.tokenizer.eosToken || id === this.#base.spec.eosToken || id >= this.#base.tokenizer.vocabulary
    )
  }

  [Symbol.dispose](): void {
    this.#session.close()
  }
}

function notCount(found: number): OneroundError {
  return new OneroundError('ARGUMENT', 'maxTokens is not a number of tokens.', {
    found: String(found),
    expected: 'a whole number from 1',
    fix: 'Give another maxTokens (--max-tokens).',
  })
}

function badPrompt(found: number, most: number): OneroundError {
  return new OneroundError('ARGUMENT', 'There is no room for text after the prompt.', {
    found: `a prompt of ${found} tokens`,
    expected: `1 to ${most - 1}`,
    fix: found === 0 ? 'Give a prompt.' : 'Shorten the prompt.',
  })
}
