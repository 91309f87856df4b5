import { Template } from '@huggingface/jinja'
import { Tokenizer as Library } from '@huggingface/tokenizers'
import { OneroundError } from '../errors.js'
import { isRecord } from './bounded-file.js'

export interface ChatMessage {
  role: string
  content: string
}

export interface Tokenizer {
  /** Adds no special token, but takes the text of one, e.g. `<|im_end|>`, for that token. */
  encode(text: string): number[]
  /** The text of all tokens, special ones included. */
  decode(ids: readonly number[]): string
  /** highest token plus one */
  readonly vocabulary: number
  readonly bosToken?: number
  readonly eosToken?: number
  /** covers everything that decides what a text's tokens are, and the chat template */
  readonly sha256: string
  /**
   * A conversation in the model's own words; absent where the model has no template. It ends where the assistant speaks,
   * or, with generationPrompt false, after the last message.
   */
  chat?(messages: readonly ChatMessage[], o?: { generationPrompt?: boolean }): string
}

/** What a tokenizer is built from. Building takes a few tenths of a second, so it waits until someone asks. */
export interface TokenizerSource {
  readonly sha256: string
  build(): Tokenizer
}

interface TokenizerParts {
  /** what tokenizer.json holds, or an object of the same form */
  json: Record<string, unknown>
  /** what tokenizer_config.json holds */
  config: Record<string, unknown>
  chatTemplate: string | undefined
  bosToken: number | undefined
  eosToken: number | undefined
  sha256: string
  /** what errors call it */
  source: string
}

const MAX_TOKEN = 1 << 24

/** Wraps @huggingface/tokenizers: our errors, no special tokens added, nothing cleaned up. */
export function buildTokenizer(parts: TokenizerParts): Tokenizer {
  const { source, chatTemplate, sha256 } = parts
  const vocabulary = countVocabulary(parts.json, source)
  const library = guarded(source, () => new Library({ normalizer: null, ...parts.json }, parts.config))
  const bosToken = namedToken(library, parts.config.bos_token) ?? parts.bosToken
  const eosToken = namedToken(library, parts.config.eos_token) ?? parts.eosToken
  const chat = chatTemplate === undefined ? undefined : chatOf(chatTemplate, parts.config, source)
  return {
    encode(text) {
      const ids: number[] = guarded(source, () => library.encode(text, { add_special_tokens: false }).ids)
      if (!ids.every((id) => Number.isInteger(id))) throw malformedTokenizer(source, 'a piece of text without a token')
      return ids
    },
    decode(ids) {
      if (ids.length === 0) return ''
      const wrong = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabulary)
      if (wrong !== undefined) {
        throw new OneroundError('ARGUMENT', 'decode was given a number that is no token', {
          found: String(wrong),
          expected: `integers from 0 to ${vocabulary - 1}`,
          fix: 'Pass token ids of this model.',
        })
      }
      const options = { skip_special_tokens: false, clean_up_tokenization_spaces: false }
      return guarded(source, () => library.decode([...ids], options))
    },
    vocabulary,
    ...(bosToken === undefined ? {} : { bosToken }),
    ...(eosToken === undefined ? {} : { eosToken }),
    sha256,
    ...(chat === undefined ? {} : { chat }),
  }
}

/** Highest token plus one. The library makes an array of that length, so it is bounded here. */
function countVocabulary(json: Record<string, unknown>, source: string): number {
  const model = json.model
  const added: unknown = json.added_tokens
  if (!isRecord(model) || !Array.isArray(added)) throw malformedTokenizer(source, 'no model or no added_tokens')
  const { vocab } = model
  const ids: unknown[] = Array.isArray(vocab)
    ? [vocab.length - 1]
    : isRecord(vocab)
      ? Object.values(vocab)
      : [undefined]
  for (const token of added) ids.push(isRecord(token) && typeof token.content === 'string' ? token.id : undefined)
  let highest = -1
  for (const id of ids) {
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 0 || id >= MAX_TOKEN) {
      throw malformedTokenizer(source, `the token number ${JSON.stringify(id)}`)
    }
    highest = Math.max(highest, id)
  }
  return highest + 1
}

/** tokenizer_config.json names a token by its text, or by an object that holds the text. */
function namedToken(library: Library, value: unknown): number | undefined {
  const text = tokenText(value)
  return text === undefined ? undefined : library.token_to_id(text)
}

function tokenText(value: unknown): string | undefined {
  const text: unknown = isRecord(value) ? value.content : value
  return typeof text === 'string' ? text : undefined
}

function chatOf(text: string, config: Record<string, unknown>, source: string): NonNullable<Tokenizer['chat']> {
  let template: Template | undefined
  const tokens = { bos_token: tokenText(config.bos_token) ?? '', eos_token: tokenText(config.eos_token) ?? '' }
  return (messages, o) =>
    guarded(`${source}, chat template`, () => {
      template ??= new Template(text)
      return template.render({ messages, add_generation_prompt: o?.generationPrompt ?? true, ...tokens })
    })
}

function guarded<T>(source: string, run: () => T): T {
  try {
    return run()
  } catch (cause) {
    if (cause instanceof OneroundError) throw cause
    throw malformedTokenizer(source, cause instanceof Error ? cause.message : String(cause), cause)
  }
}

function malformedTokenizer(source: string, found: string, cause?: unknown): OneroundError {
  return new OneroundError('MALFORMED', `${source} is not a tokenizer that can be used`, {
    found,
    expected: 'a tokenizer.json as Hugging Face tokenizers writes it',
    fix: "Use the model's own tokenizer files.",
    cause,
  })
}
