/** Tokens in, text out, piece by piece: a piece never ends within a character. */
import type { Tokenizer } from '../text/tokenizer.js'

const REPLACEMENT = '\ufffd'

/**
 * A UTF-8 character has at most four bytes, so an unfinished one has at most three: a decoder that works byte by byte
 * (SentencePiece's byte fallback) shows three marks for it, one that works on whole texts shows one.
 */
const MOST_UNFINISHED = 3

export class TextStream {
  readonly #tokenizer: Tokenizer
  /** Put before what is decoded: some decoders drop a blank, or a byte order mark, at the very beginning of a text. */
  readonly #anchor: readonly number[]
  readonly #anchorLength: number
  #pending: number[] = []
  /** UTF-16 units of the pending tokens' text that have been given out */
  #given = 0

  constructor(tokenizer: Tokenizer) {
    this.#tokenizer = tokenizer
    this.#anchor = tokenizer.encode('a')
    this.#anchorLength = tokenizer.decode(this.#anchor).length
  }

  /** @returns the text that this token finishes; may be empty */
  push(id: number): string {
    this.#pending.push(id)
    const text = this.#text()
    let end = text.length
    while (end > 0 && text.length - end < MOST_UNFINISHED && text[end - 1] === REPLACEMENT) end--
    const piece = text.slice(this.#given, end)
    this.#given = Math.max(this.#given, end)
    if (end === text.length) {
      this.#pending = []
      this.#given = 0
    }
    return piece
  }

  /** What is left when no token follows; a character that was never finished is a replacement character. */
  end(): string {
    const piece = this.#text().slice(this.#given)
    this.#pending = []
    this.#given = 0
    return piece
  }

  #text(): string {
    if (this.#pending.length === 0) return ''
    return this.#tokenizer.decode([...this.#anchor, ...this.#pending]).slice(this.#anchorLength)
  }
}
