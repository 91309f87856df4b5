import { describe, expect, it } from 'vitest'
import { Stops } from '../../../src/evaluate/stops.js'
import { TextStream } from '../../../src/evaluate/text-stream.js'
import type { Tokenizer } from '../../../src/text/tokenizer.js'
import { byteTokenizer } from '../data/byte-tokenizer.js'

function stream(tokenizer: Tokenizer, ids: readonly number[]): { pieces: string[]; rest: string } {
  const text = new TextStream(tokenizer)
  const pieces = ids.map((id) => text.push(id))
  return { pieces, rest: text.end() }
}

const bytes = (text: string) => [...new TextEncoder().encode(text)]

/** As SentencePiece: a run of bytes that is no whole UTF-8 becomes one mark a byte, and a leading blank is dropped. */
const fallback: Tokenizer = {
  encode: (text) => bytes(text),
  decode(ids) {
    const words: string[] = []
    let run: number[] = []
    const flush = () => {
      const text = new TextDecoder().decode(Uint8Array.from(run))
      words.push(text.includes('\ufffd') ? '\ufffd'.repeat(run.length) : text)
      run = []
    }
    for (const id of ids) {
      if (id < 256 && id !== 97) run.push(id)
      else {
        flush()
        words.push(id === 97 ? 'a' : ' word')
      }
    }
    flush()
    return words.join('').replace(/^ /, '')
  },
  vocabulary: 257,
  sha256: '0'.repeat(64),
}

describe('TextStream', () => {
  it('gives a character out when its last byte comes, whatever its length', () => {
    const text = 'aé€😀\ufeff!'
    const { pieces, rest } = stream(byteTokenizer(), bytes(text))
    expect(pieces).toEqual(['a', '', 'é', '', '', '€', '', '', '', '😀', '', '', '\ufeff', '!'])
    expect(rest).toBe('')
  })

  it('gives bytes that are no character out as the whole text would, and never waits for more than one character', () => {
    for (const row of [
      [0x80, 0x80, 0x80, 0x80, 0x80, 65],
      [0xf0, 0x9f, 65, 0xf0, 0x9f, 0x98, 0x80],
      [0xff, 0xe2, 0x82],
      [0x80, 0x80, 0xf0, 0x9f, 0x98, 0x80],
    ]) {
      const { pieces, rest } = stream(byteTokenizer(), row)
      expect(pieces.join('') + rest).toBe(byteTokenizer().decode(row))
    }
    const { pieces } = stream(byteTokenizer(), new Array<number>(10).fill(0x80))
    expect(pieces.join('')).toHaveLength(7)
  })

  it('works with a decoder that falls back to bytes and drops a leading blank', () => {
    const ids = [256, ...bytes('😀é€'), 256, 0xf0, 256]
    const { pieces, rest } = stream(fallback, ids)
    expect(pieces[0]).toBe(' word')
    expect(pieces.join('') + rest).toBe(' word😀é€ word\ufffd word')
    // the first character is there before the second begins
    expect(pieces[4]).toBe('😀')
    for (const piece of pieces.slice(0, -1)) expect(piece).not.toContain('\ufffd')
  })

  it('ends with what was never finished', () => {
    expect(stream(byteTokenizer(), [65, 0xe2, 0x82])).toEqual({ pieces: ['A', '', ''], rest: '\ufffd' })
  })
})

function stopped(stops: readonly string[], pieces: readonly string[]): { given: string[]; stopped: boolean } {
  const stop = new Stops(stops)
  const given = pieces.map((piece) => stop.push(piece))
  return { given: [...given, stop.end()], stopped: stop.stopped }
}

describe('Stops', () => {
  it('ends a text before a stop string, wherever the pieces end', () => {
    const text = 'one two\n\nQuestion: three'
    for (let at = 0; at <= text.length; at++) {
      for (let next = at; next <= text.length; next++) {
        const { given, stopped: ended } = stopped(
          ['Question:'],
          [text.slice(0, at), text.slice(at, next), text.slice(next)],
        )
        expect(given.join('')).toBe('one two\n\n')
        expect(ended).toBe(true)
      }
    }
  })

  it('holds back only what may become one, and gives it out when it does not', () => {
    expect(stopped(['abc'], ['xa', 'b', 'd'])).toEqual({ given: ['x', '', 'abd', ''], stopped: false })
    expect(stopped(['abc'], ['ab'])).toEqual({ given: ['', 'ab'], stopped: false })
    expect(stopped(['aab'], ['aaa', 'b'])).toEqual({ given: ['a', '', ''], stopped: true })
  })

  it('takes the first of several, and nothing after it', () => {
    expect(stopped(['late', 'no'], ['a no late', 'more'])).toEqual({ given: ['a ', '', ''], stopped: true })
  })

  it('gives all out without any', () => {
    expect(stopped([], ['a', 'b'])).toEqual({ given: ['a', 'b', ''], stopped: false })
  })

  it('refuses empty ones and too many', () => {
    expect(() => new Stops([''])).toThrow(/stop strings/)
    expect(() => new Stops(new Array<string>(65).fill('x'))).toThrow(/stop strings/)
  })
})
