import type { Adapter } from '../adapter/adapter.js'
import { OneroundError } from '../errors.js'
import type { Model } from '../model/open.js'
import type { ChatMessage } from '../text/tokenizer.js'
import type { JobOptions } from '../train/job.js'
import type { MemoryNotice } from '../train/memory.js'
import type { TextModel } from './continue-text.js'
import { Generator, type TextEnd, type TextOptions } from './generator.js'

export interface GenerateOptions extends JobOptions, Partial<TextOptions> {
  /** added to the base */
  adapter?: Adapter | undefined
  /** what was said before: the prompt is then a user's message, in the words of the model's own chat template */
  chat?: readonly ChatMessage[] | undefined
  /** told once, before anything is allocated */
  onMemory?: ((notice: MemoryNotice) => void) | undefined
}

const usual: TextOptions = { maxTokens: 128, temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0, stop: [] }

/**
 * The text that follows a prompt, in pieces that never end within a character; the generator's value at its end says why it
 * ended. Without a temperature it is the most likely token each time. Leaving the loop early ends the work.
 * @throws OneroundError ARGUMENT, UNSUPPORTED (chat, and the model has no template), MISMATCH (an adapter of another base),
 * MEMORY, NUMERIC, ABORTED
 */
export async function* generate(base: Model, prompt: string, o: GenerateOptions = {}): AsyncGenerator<string, TextEnd> {
  const options = { ...usual, ...defined(o) }
  const ids = promptTokens(base, o.chat === undefined ? prompt : chatPrompt(base, prompt, o.chat))
  const most = base.spec.maxPositions
  if (ids.length >= most) {
    throw new OneroundError('ARGUMENT', 'The prompt is too long for this base.', {
      found: `${ids.length} tokens`,
      expected: `at most ${most - 1}`,
      fix: 'Shorten the prompt.',
    })
  }
  using generator = new Generator(base, o.adapter, ids.length + options.maxTokens, o)
  return yield* generator.text(ids, options, o.signal)
}

/** An option that is there but undefined means its default. */
function defined<T extends object>(options: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>
  }
}

/** Nothing is put before a prompt, as in training; only without any text does the begin-of-text token stand alone. */
export function promptTokens(base: TextModel, text: string): number[] {
  const ids = base.tokenizer.encode(text)
  if (ids.length > 0) return ids
  const first = base.tokenizer.bosToken ?? base.spec.bosToken
  if (first !== undefined) return [first]
  throw new OneroundError('ARGUMENT', 'The prompt is empty, and this base has no token that begins a text.', {
    fix: 'Give a prompt of at least one character.',
  })
}

function chatPrompt(base: Model, prompt: string, before: readonly ChatMessage[]): string {
  if (base.tokenizer.chat === undefined) {
    throw new OneroundError('UNSUPPORTED', 'This base has no chat template.', {
      found: "a base without one in its tokenizer's files",
      expected:
        'chat_template.jinja, chat_template in tokenizer_config.json, or tokenizer.chat_template in a GGUF file',
      fix: 'Use an instruction-tuned base, or leave chat out.',
    })
  }
  return base.tokenizer.chat([...before, { role: 'user', content: prompt }])
}
