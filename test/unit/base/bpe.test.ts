import { Tokenizer } from '@huggingface/tokenizers'
import { beforeAll, describe, expect, it } from 'vitest'
import { type Bpe, makeEncoder, trainBpe } from '../../../scripts/base/bpe.mjs'
import { BYTE_CHARACTERS, pieces } from '../../../scripts/base/bytes.mjs'
import { tokenizerFiles } from '../../../scripts/base/tokenizer-files.mjs'
import { loadAddresses } from '../../../src/data/addresses.js'

const END = '<|endoftext|>'

describe('bytes and pieces', () => {
  it('the alphabet has a visible character for each byte', () => {
    expect(new Set(BYTE_CHARACTERS).size).toBe(256)
    expect(BYTE_CHARACTERS.every((c) => /^\S$/u.test(c))).toBe(true)
    expect([0x20, 0x0a, 0x41, 0xad].map((b) => BYTE_CHARACTERS[b])).toEqual(['Ġ', 'Ċ', 'A', 'Ń'])
  })

  it('pieces joined are the text', () => {
    const text = " I'll  pay\n\n$3,000 — now!  "
    expect(pieces(text).join('')).toBe(text)
    expect(pieces("I'll pay 30")).toEqual(['I', "'ll", ' pay', ' 30'])
  })
})

describe('trainer', () => {
  it('merges the most frequent pair, among equals the smaller ids', () => {
    // pairs: (a,b) 3, (b,c) 2, (b,d) 1; after ab: (ab,c) 2
    const bpe = trainBpe(['abc', 'abc', 'abd'], { vocabulary: 260, specials: [END] })
    expect(bpe.tokens.slice(257)).toEqual(['ab', 'abc'])
    const equal = trainBpe(['zy', 'zy', 'ab', 'ab'], { vocabulary: 258, specials: [END] })
    expect(equal.tokens[257]).toBe('ab')
  })

  it('counts overlapping pairs of one letter as they merge', () => {
    // aaaaa -> aa aa a, where (aa, a) and (aa, aa) are equal and a has the smaller id -> aa aaa
    const bpe = trainBpe(['aaaaa', 'aaaaa'], { vocabulary: 300, specials: [] })
    expect(bpe.tokens.slice(256)).toEqual(['aa', 'aaa', 'aaaaa'])
    expect(makeEncoder(bpe)('aaaaa')).toEqual([258])
  })

  it('agrees with a recount of all pairs after every merge', () => {
    const text = loadAddresses()[3]?.text.slice(0, 6000) ?? ''
    expect(trainBpe([text], { vocabulary: 420, specials: [END] }).merges).toEqual(slowMerges(text, 420))
  })

  it('refuses a vocabulary that cannot hold the bytes', () => {
    expect(() => trainBpe([], { vocabulary: 256, specials: [END] })).toThrow(RangeError)
  })
})

/** The definition: count everything anew for each merge. */
function slowMerges(text: string, vocabulary: number): [number, number][] {
  let words = pieces(text).map((piece) => [...new TextEncoder().encode(piece)].map((byte) => byte + 1))
  const merges: [number, number][] = []
  for (let made = 257; made < vocabulary; made++) {
    const counts = new Map<number, number>()
    for (const word of words) {
      word.slice(1).forEach((right, i) => {
        const key = (word[i] ?? 0) * 65536 + right
        counts.set(key, (counts.get(key) ?? 0) + 1)
      })
    }
    const [key = 0] = [...counts].sort(([a, m], [b, n]) => n - m || a - b)[0] ?? []
    const [left, right] = [Math.floor(key / 65536), key % 65536]
    merges.push([left, right])
    words = words.map((word) => {
      const out: number[] = []
      for (const id of word) {
        // a token made by this very merge is never a left half
        if (id === right && out.at(-1) === left) out[out.length - 1] = made
        else out.push(id)
      }
      return out
    })
  }
  return merges
}

describe('tokenizer.json', () => {
  let bpe: Bpe
  let tokenizer: Tokenizer
  const addresses = loadAddresses()
  beforeAll(() => {
    const texts = addresses.slice(0, 40).map((address) => address.text)
    bpe = trainBpe(texts, { vocabulary: 2000, specials: [END] })
    const files = tokenizerFiles(bpe)
    tokenizer = new Tokenizer(JSON.parse(JSON.stringify(files.tokenizer)), JSON.parse(JSON.stringify(files.config)))
  })

  const ids = (text: string) => tokenizer.encode(text, { add_special_tokens: false }).ids

  it('encodes as the own encoder does, and decodes to the text', () => {
    const encode = makeEncoder(bpe)
    for (const address of [...addresses.slice(0, 3), ...addresses.slice(100, 102), ...addresses.slice(-2)]) {
      expect(encode(address.text)).toEqual(ids(address.text))
      expect(tokenizer.decode(encode(address.text), { skip_special_tokens: false })).toBe(address.text)
    }
  })

  it.each([' ', '\n\n a  b\t', 'naïve — “€” 漢字 🙂', 'x'.repeat(1000), "don't 1790's"])('round trip of %j', (text) => {
    expect(makeEncoder(bpe)(text)).toEqual(ids(text))
    expect(tokenizer.decode(ids(text), { skip_special_tokens: false, clean_up_tokenization_spaces: false })).toBe(text)
  })

  it('knows the end of text as one token', () => {
    expect(ids(`a${END}b`)).toEqual([...ids('a'), 0, ...ids('b')])
  })
})
