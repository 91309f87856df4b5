import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { readGguf } from '../../../src/model/gguf.js'
import { tokenizerOfGguf } from '../../../src/text/gguf-tokenizer.js'
import { buildTokenizer } from '../../../src/text/tokenizer.js'
import { tokenizerOfFolder } from '../../../src/text/tokenizer-files.js'

const shared = fileURLToPath(new URL('../../../../shared', import.meta.url))
const folder = join(shared, 'models/smollm2-135m-instruct')
const scores = join(shared, 'golden/smollm2_scores.json')
const there = existsSync(scores) && existsSync(folder)
if (!there) console.log(`skipped: golden tokenizer strings, ${scores} or its model is not there`)

interface Golden {
  tokenizer: { text: string; ids: number[] }[]
  chat_template: { messages: { role: string; content: string }[]; text: string }
}

describe.skipIf(!there).each(['tokenizer.json', 'GGUF metadata'])('SmolLM2 from %s', (from) => {
  const special = { bosToken: 1, eosToken: 2 }
  const load = async () => {
    const file = join(folder, 'SmolLM2-135M-Instruct.Q4_1.gguf')
    if (from === 'tokenizer.json') return (await tokenizerOfFolder(folder, special))!.build()
    return tokenizerOfGguf((await readGguf(file)).metadata, file, special).build()
  }

  it('gives the golden tokens and the text back, and the golden chat prompt', async () => {
    const tokenizer = await load()
    const golden = JSON.parse(readFileSync(scores, 'utf8')) as Golden
    expect(golden.tokenizer).toHaveLength(12)
    for (const { text, ids } of golden.tokenizer) {
      expect(tokenizer.encode(text)).toEqual(ids)
      expect(tokenizer.decode(ids)).toBe(text)
    }
    expect(tokenizer).toMatchObject({ vocabulary: 49152, bosToken: 1, eosToken: 2 })
    expect(tokenizer.chat?.(golden.chat_template.messages)).toBe(golden.chat_template.text)
    expect(() => tokenizer.decode([49152])).toThrow(expect.objectContaining({ code: 'ARGUMENT' }))
  })
})

/** Byte-level BPE of letters, digits and a space, with a few merges. */
function metadata(change: Record<string, unknown> = {}): Map<string, unknown> {
  const tokens = ['<s>', 'Ġ', 'a', 'b', '1', '2', '3', '4', 'ab', '12', '34', '1234', 'Ġa', 'ĠĠ', '123']
  return new Map<string, unknown>(
    Object.entries({
      'tokenizer.ggml.model': 'gpt2',
      'tokenizer.ggml.pre': 'gpt-2',
      'tokenizer.ggml.tokens': tokens,
      'tokenizer.ggml.token_type': new Int32Array(tokens.length).fill(1).fill(3, 0, 1),
      'tokenizer.ggml.merges': ['a b', '1 2', '3 4', '12 34', 'Ġ a', 'Ġ Ġ'],
      ...change,
    }),
  )
}
const textsOf = (change: Record<string, unknown>, text: string) => {
  const tokenizer = tokenizerOfGguf(metadata(change), 'm.gguf', { bosToken: 0 }).build()
  return tokenizer.encode(text).map((id) => tokenizer.decode([id]))
}

describe('a tokenizer from GGUF metadata', () => {
  it('cuts as its pre-tokenizer says', () => {
    expect(textsOf({}, 'ab a1234<s>')).toEqual(['ab', ' a', '1234', '<s>'])
    expect(textsOf({ 'tokenizer.ggml.pre': 'smollm' }, 'ab1234')).toEqual(['ab', '1', '2', '3', '4'])
    // Llama 3 cuts digits in threes and takes 123 whole although no merge makes it
    expect(textsOf({ 'tokenizer.ggml.pre': 'llama-bpe' }, '1234')).toEqual(['123', '4'])
    // two spaces before a digit: smollm cuts the digit first, so both spaces are one piece
    expect(textsOf({ 'tokenizer.ggml.pre': 'smollm' }, 'a  1')).toEqual(['a', '  ', '1'])
    expect(textsOf({}, 'a  1')).toEqual(['a', ' ', ' ', '1'])
    // Qwen's digits are single, and no whole piece goes before the merges
    expect(textsOf({ 'tokenizer.ggml.pre': 'qwen2' }, 'ab a1234<s>')).toEqual(['ab', ' a', '1', '2', '3', '4', '<s>'])
  })

  it.each([
    ['a WordPiece model', { 'tokenizer.ggml.model': 'bert' }, 'UNSUPPORTED'],
    ['another pre-tokenizer', { 'tokenizer.ggml.pre': 'tekken' }, 'UNSUPPORTED'],
    ['the default pre-tokenizer', { 'tokenizer.ggml.pre': 'default' }, 'UNSUPPORTED'],
    ['merges without a space', { 'tokenizer.ggml.merges': ['ab'] }, 'MALFORMED'],
    ['types of another length', { 'tokenizer.ggml.token_type': new Int32Array(2) }, 'MALFORMED'],
    ['no tokens', { 'tokenizer.ggml.tokens': 5 }, 'MALFORMED'],
  ])('refuses %s', (_what, change, code) => {
    const source = tokenizerOfGguf(metadata(change), 'm.gguf', {})
    expect(() => source.build()).toThrow(
      expect.objectContaining({ code, fix: expect.stringContaining('tokenizer.json') }),
    )
  })

  it('has a digest of everything that decides the tokens, in any order', () => {
    const digest = (map: Map<string, unknown>) => tokenizerOfGguf(map, 'm.gguf', {}).sha256
    expect(digest(new Map([...metadata()].reverse()))).toBe(digest(metadata()))
    expect(digest(metadata({ 'tokenizer.ggml.pre': 'smollm' }))).not.toBe(digest(metadata()))
    expect(digest(metadata({ 'tokenizer.ggml.merges': ['a b'] }))).not.toBe(digest(metadata()))
  })
})

describe('a bad tokenizer.json', () => {
  const base = {
    config: {},
    chatTemplate: undefined,
    bosToken: undefined,
    eosToken: undefined,
    sha256: '',
    source: 'tokenizer.json',
  }
  it.each([
    ['no model', { added_tokens: [] }],
    ['an absurd token number', { added_tokens: [], model: { type: 'BPE', vocab: { a: 2 ** 40 }, merges: [] } }],
    [
      'an added token without a number',
      { added_tokens: [{ content: 'a' }], model: { type: 'BPE', vocab: {}, merges: [] } },
    ],
    [
      'an unknown kind',
      { added_tokens: [], pre_tokenizer: { type: 'Nothing' }, model: { type: 'BPE', vocab: { a: 0 }, merges: [] } },
    ],
  ])('with %s is refused', (_what, json) => {
    expect(() => buildTokenizer({ ...base, json })).toThrow(expect.objectContaining({ code: 'MALFORMED' }))
  })
})
