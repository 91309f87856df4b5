/** A text that grows token by token, whatever computes the logits. */
import { OneroundError } from '../errors.js'
import type { ModelSpec } from '../model/spec.js'
import type { Tokenizer } from '../text/tokenizer.js'
import { aborted, checkAborted } from '../train/job.js'
import { checkSampling, type SamplingOptions, sample } from './sampling.js'
import { Stops } from './stops.js'
import { TextStream } from './text-stream.js'

/** What a text needs of a model besides its logits. */
export interface TextModel {
  readonly tokenizer: Tokenizer
  readonly spec: Pick<ModelSpec, 'maxPositions' | 'bosToken' | 'eosToken'>
}

/** What computes the logits of the next token, [vocabulary]. One text at a time. */
export interface NextToken {
  /** takes a prompt into the empty cache; logits of the token after it */
  prefill(ids: Int32Array): Promise<Float32Array>
  /** one more token */
  next(id: number): Promise<Float32Array>
  /** the running call, if any, fails soon */
  abort(): void
}

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

interface Continuation extends TextOptions {
  /** tokens of prompt and text together */
  capacity: number
  /** true for a token that ends a text */
  ends: (id: number) => boolean
}

/** A vocabulary is often padded to a round number: a token that no text stands for ends a text, too. */
export function endOf({ tokenizer, spec }: TextModel): (id: number) => boolean {
  return (id) => id === tokenizer.eosToken || id === spec.eosToken || id >= tokenizer.vocabulary
}

/**
 * The text that follows a prompt, in pieces that never end within a character.
 * @param prompt at least one token
 * @throws OneroundError ARGUMENT (a prompt as long as the capacity, or an option), NUMERIC, ABORTED
 */
export async function* continueText(
  model: NextToken,
  tokenizer: Tokenizer,
  prompt: readonly number[],
  o: Continuation,
  signal?: AbortSignal,
): AsyncGenerator<string, TextEnd> {
  checkSampling(o)
  if (!Number.isSafeInteger(o.maxTokens) || o.maxTokens < 1) throw notCount(o.maxTokens)
  const room = o.capacity - prompt.length
  if (prompt.length === 0 || room < 1) throw badPrompt(prompt.length, o.capacity)
  const stream = new TextStream(tokenizer)
  const stops = new Stops(o.stop)
  const most = Math.min(o.maxTokens, room)
  const abort = () => model.abort()
  signal?.addEventListener('abort', abort)
  const end: TextEnd = { reason: 'length', promptTokens: prompt.length, tokens: 0 }
  try {
    checkAborted(signal)
    let logits = await model.prefill(Int32Array.from(prompt))
    for (;;) {
      checkAborted(signal)
      const id = sample(logits, o, end.tokens)
      if (o.ends(id)) {
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
      logits = await model.next(id)
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
