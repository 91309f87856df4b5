/** Llama's SentencePiece model from GGUF metadata, against the plain algorithm on the same pieces. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { readGguf } from '../../../src/model/gguf.js'
import { tokenizerOfGguf } from '../../../src/text/gguf-tokenizer.js'
import { seeded } from '../model/hostile.js'

interface Piece {
  text: string
  score: number
}

/** tok512.bin of llama2.c: the longest piece's bytes, then score (f32), length (i32) and bytes of each piece. */
function readPieces(file: string): Piece[] {
  const bytes = readFileSync(file)
  const pieces: Piece[] = []
  for (let at = 4; at < bytes.length; ) {
    const length = bytes.readInt32LE(at + 4)
    pieces.push({ score: bytes.readFloatLE(at), text: bytes.toString('utf8', at + 8, at + 8 + length) })
    at += 8 + length
  }
  return pieces
}

/** Joins the two neighbours that make the piece of the highest score, the leftmost first, until none do. */
function joinByScore(pieces: readonly Piece[], text: string): number[] {
  const numbers = new Map(pieces.map((piece, id) => [piece.text, id]))
  const ids = Array.from(` ${text}`).flatMap((c) => numbers.get(c) ?? [...Buffer.from(c)].map((byte) => byte + 3))
  for (;;) {
    let best = -1
    let made = -1
    for (let i = 0; i + 1 < ids.length; i++) {
      const id = numbers.get(`${pieces[ids[i]!]?.text}${pieces[ids[i + 1]!]?.text}`)
      if (id !== undefined && (best < 0 || pieces[id]!.score > pieces[made]!.score)) [best, made] = [i, id]
    }
    if (best < 0) return ids
    ids.splice(best, 2, made)
  }
}

const stories = fileURLToPath(new URL('../../../../shared/models/stories260K', import.meta.url))
const there = existsSync(stories)
if (!there) console.log(`skipped: the tokenizer of stories260K, ${stories} is not there`)

describe.skipIf(!there)('the SentencePiece model of stories260K', () => {
  const load = async () => {
    const file = join(stories, 'stories260K-f32.gguf')
    const { metadata } = await readGguf(file)
    return tokenizerOfGguf(metadata, file, { bosToken: 1, eosToken: 2 }).build()
  }

  it('gives the tokens of the plain algorithm and the text back', async () => {
    const tokenizer = await load()
    const pieces = readPieces(join(stories, 'tok512.bin'))
    expect(tokenizer).toMatchObject({ vocabulary: 512, bosToken: 1, eosToken: 2 })
    const texts = [
      'Once upon a time, there was a little girl named Lily.',
      ' two  spaces, and\nlines\n\nand\ttabs ',
      'Ünïcödé 日本 🙂 falls back to bytes; é is a piece.',
      'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',
      '<0x41> is text',
      'x',
    ]
    const next = seeded(7)
    const alphabet = Array.from('the andToswqé.,"!? \n')
    for (let i = 0; i < 200; i++) {
      texts.push(Array.from({ length: 40 }, () => alphabet[Math.floor(next() * alphabet.length)]).join(''))
    }
    for (const text of texts) {
      const ids = tokenizer.encode(text)
      expect(ids, text).toEqual(joinByScore(pieces, text))
      expect(tokenizer.decode(ids)).toBe(text)
    }
    expect(tokenizer.encode('Once upon a time')).toEqual([403, 407, 261, 378])
  })

  it('takes the texts of special tokens for them', async () => {
    const tokenizer = await load()
    const ids = tokenizer.encode('a</s>')
    expect(ids.at(-1)).toBe(2)
    expect(ids).not.toContain(0)
  })
})

const bytes = Array.from({ length: 256 }, (_, i) => `<0x${i.toString(16).toUpperCase().padStart(2, '0')}>`)
const tokens = ['<unk>', '<s>', '</s>', ...bytes, '▁', 'a', 'b', 'c', 'ab', 'bc', '▁a', '<mask>']

function metadata(change: Record<string, unknown> = {}): Map<string, unknown> {
  const types = new Int32Array(tokens.length).fill(1).fill(6, 3, 259)
  types.set([2, 3, 3])
  types[tokens.length - 1] = 4
  const scores = new Float32Array(tokens.length)
  scores.set([-5, -6, -7, -8, -1, -2, -3], 259)
  return new Map(
    Object.entries({
      'tokenizer.ggml.model': 'llama',
      'tokenizer.ggml.tokens': tokens,
      'tokenizer.ggml.token_type': types,
      'tokenizer.ggml.scores': scores,
      ...change,
    }),
  )
}

function pieces(text: string, change: Record<string, unknown> = {}): (string | undefined)[] {
  const tokenizer = tokenizerOfGguf(metadata(change), 'm.gguf', {}).build()
  const ids = tokenizer.encode(text)
  expect(tokenizer.decode(ids)).toBe(text)
  return ids.map((id) => tokens[id])
}

describe('a SentencePiece model', () => {
  it('joins by score, spaces as pieces, unknown characters as bytes', () => {
    expect(pieces('abc')).toEqual(['▁', 'ab', 'c'])
    expect(pieces('a ac')).toEqual(['▁a', '▁a', 'c'])
    expect(pieces('é')).toEqual(['▁', '<0xC3>', '<0xA9>'])
    const scores = new Float32Array(tokens.length)
    scores.set([-5, -6, -7, -8, -2, -1, -3], 259) // bc before ab
    expect(pieces('abc', { 'tokenizer.ggml.scores': scores })).toEqual(['▁a', 'bc'])
  })

  it('puts a space in front only where the file wants one', () => {
    expect(pieces('ab', { 'tokenizer.ggml.add_space_prefix': false })).toEqual(['ab'])
    expect(pieces(' ab', { 'tokenizer.ggml.add_space_prefix': false })).toEqual(['▁', 'ab'])
  })

  it('recognises special and user-defined tokens', () => {
    const tokenizer = tokenizerOfGguf(metadata(), 'm.gguf', {}).build()
    expect(tokenizer.encode('ab<mask></s>').slice(-2)).toEqual([tokens.length - 1, 2])
  })

  it.each([
    ['without scores', { 'tokenizer.ggml.scores': 'none' }, 'MALFORMED'],
    ['with too few scores', { 'tokenizer.ggml.scores': new Float32Array(3) }, 'MALFORMED'],
    [
      'with a score that is no number',
      { 'tokenizer.ggml.scores': new Float32Array(tokens.length).fill(Number.NaN) },
      'MALFORMED',
    ],
    ['with integers for scores', { 'tokenizer.ggml.scores': new Int32Array(tokens.length) }, 'MALFORMED'],
    ['with a normalisation of its own', { 'tokenizer.ggml.precompiled_charsmap': new Uint8Array(4) }, 'UNSUPPORTED'],
    ['that drops spaces', { 'tokenizer.ggml.remove_extra_whitespaces': true }, 'UNSUPPORTED'],
    [
      'with an endless piece',
      { 'tokenizer.ggml.tokens': [...tokens.slice(0, -2), 'a'.repeat(1000), 'x'] },
      'MALFORMED',
    ],
  ])('%s is refused', (_what, change, code) => {
    const source = tokenizerOfGguf(metadata(change), 'm.gguf', {})
    expect(() => source.build()).toThrow(
      expect.objectContaining({ code, fix: expect.stringContaining('tokenizer.json') }),
    )
  })
})
