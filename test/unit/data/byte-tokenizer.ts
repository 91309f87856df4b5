import type { Tokenizer } from '../../../src/text/tokenizer.js'

const END = 256

/** One id a UTF-8 byte, so that a test can say which tokens it expects. */
export function byteTokenizer(o: { end?: boolean } = {}): Tokenizer {
  const tokenizer = {
    encode: (text: string) => [...new TextEncoder().encode(text)],
    decode: (ids: readonly number[]) => new TextDecoder().decode(Uint8Array.from(ids.filter((id) => id < END))),
    vocabulary: END + 1,
    sha256: '0'.repeat(64),
  }
  return o.end === false ? tokenizer : { ...tokenizer, eosToken: END }
}

export const END_OF_TEXT = END
