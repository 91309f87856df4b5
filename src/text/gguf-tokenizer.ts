import { dirname, join } from 'node:path'
import { OneroundError } from '../errors.js'
import { digestParts } from './digest.js'
import { buildTokenizer, type Tokenizer, type TokenizerSource } from './tokenizer.js'
import { noTokenizer, type SpecialTokens } from './tokenizer-files.js'

/**
 * How text is cut before merging, by tokenizer.ggml.pre. The patterns are those that llama.cpp (llama-vocab.cpp) and
 * the models' own tokenizer.json files name: gpt-2 is the library's ByteLevel; smollm cuts every digit off first;
 * llama-bpe is Llama 3's, which also takes a whole piece as a token before it tries to merge.
 */
const LLAMA3_PATTERN =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
const BYTE_LEVEL = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true }
const CUTS: ReadonlyMap<string, { preTokenizer: object; ignoreMerges: boolean }> = new Map([
  ['gpt-2', { preTokenizer: BYTE_LEVEL, ignoreMerges: false }],
  ['smollm', { preTokenizer: sequence({ type: 'Digits', individual_digits: true }, BYTE_LEVEL), ignoreMerges: false }],
  [
    'llama-bpe',
    {
      preTokenizer: sequence(
        { type: 'Split', pattern: { Regex: LLAMA3_PATTERN }, behavior: 'Isolated', invert: false },
        { ...BYTE_LEVEL, use_regex: false },
      ),
      ignoreMerges: true,
    },
  ],
])
const SUPPORTED = `gpt2 with pre-tokenizer ${[...CUTS.keys()].join(', ')}`

// tokenizer.ggml.token_type (ggml's docs/gguf.md)
const UNKNOWN = 2
const CONTROL = 3
const USER_DEFINED = 4

function sequence(...pretokenizers: object[]): object {
  return { type: 'Sequence', pretokenizers }
}

/** The tokenizer that lies in a GGUF file's metadata. Which kinds can be built is decided when one is asked for. */
export function tokenizerOfGguf(
  metadata: ReadonlyMap<string, unknown>,
  file: string,
  special: SpecialTokens,
): TokenizerSource {
  if (!metadata.has('tokenizer.ggml.model')) return noTokenizer(file, dirname(file))
  const sha256 = digestParts(digested(metadata))
  return { sha256, build: () => build(metadata, file, special, sha256) }
}

/** All of the tokenizer's entries, sorted, because a writer may put them in any order. */
function* digested(metadata: ReadonlyMap<string, unknown>): Generator<[string, string | Uint8Array]> {
  for (const key of [...metadata.keys()].filter((name) => name.startsWith('tokenizer.')).sort()) {
    const value = metadata.get(key)
    if (ArrayBuffer.isView(value)) yield [key, new Uint8Array(value.buffer, value.byteOffset, value.byteLength)]
    else yield [key, JSON.stringify(typeof value === 'bigint' ? String(value) : value)]
  }
}

function build(
  metadata: ReadonlyMap<string, unknown>,
  file: string,
  special: SpecialTokens,
  sha256: string,
): Tokenizer {
  const model = metadata.get('tokenizer.ggml.model')
  if (model !== 'gpt2') throw unsupported(file, `a tokenizer of type ${String(model)}`)
  const pre = metadata.get('tokenizer.ggml.pre')
  const cut = typeof pre === 'string' ? CUTS.get(pre) : undefined
  if (cut === undefined) throw unsupported(file, `the pre-tokenizer ${pre === undefined ? 'default' : String(pre)}`)
  const tokens = texts(metadata, 'tokenizer.ggml.tokens', file)
  const merges = texts(metadata, 'tokenizer.ggml.merges', file)
  const vocab: Record<string, number> = Object.create(null) // a token may be called __proto__
  for (const [id, token] of tokens.entries()) vocab[token] = id
  const json = {
    added_tokens: addedTokens(tokens, metadata.get('tokenizer.ggml.token_type'), file),
    pre_tokenizer: cut.preTokenizer,
    post_processor: null,
    decoder: BYTE_LEVEL,
    model: {
      type: 'BPE',
      unk_token: null,
      ignore_merges: cut.ignoreMerges,
      vocab,
      merges: merges.map((merge) => pair(merge, file)),
    },
  }
  const template = metadata.get('tokenizer.chat_template')
  const { bosToken, eosToken } = special
  return buildTokenizer({
    json,
    config: { bos_token: textOf(tokens, bosToken), eos_token: textOf(tokens, eosToken) },
    chatTemplate: typeof template === 'string' ? template : undefined,
    bosToken,
    eosToken,
    sha256,
    source: file,
  })
}

function textOf(tokens: readonly string[], id: number | undefined): string | undefined {
  return id === undefined ? undefined : tokens[id]
}

/** `left right`; a token may itself begin with a space, never hold one further in. */
function pair(merge: string, file: string): [string, string] {
  const space = merge.indexOf(' ', 1)
  if (space < 0) throw malformed(file, `the merge ${JSON.stringify(merge)}`, 'two tokens with a space between them')
  return [merge.slice(0, space), merge.slice(space + 1)]
}

/** Tokens that are recognised in text before anything is cut. */
function addedTokens(tokens: readonly string[], types: unknown, file: string): object[] {
  if (types === undefined) return []
  if (!(types instanceof Int32Array || types instanceof Uint32Array) || types.length !== tokens.length) {
    throw malformed(file, 'tokenizer.ggml.token_type of another length or type', `${tokens.length} 32-bit integers`)
  }
  const added: object[] = []
  for (const [id, content] of tokens.entries()) {
    const type = types[id]
    if (type !== UNKNOWN && type !== CONTROL && type !== USER_DEFINED) continue
    added.push({ id, content, special: type !== USER_DEFINED, normalized: false, single_word: false })
  }
  return added
}

function texts(metadata: ReadonlyMap<string, unknown>, key: string, file: string): readonly string[] {
  const value = metadata.get(key)
  if (Array.isArray(value) && value.every((text): text is string => typeof text === 'string')) return value
  throw malformed(
    file,
    `${key} that is ${value === undefined ? 'not there' : 'no list of strings'}`,
    'a list of strings',
  )
}

function malformed(file: string, found: string, expected: string): OneroundError {
  const fix = `Put the model's tokenizer.json beside it, as ${join(dirname(file), 'tokenizer.json')}.`
  return new OneroundError('MALFORMED', `${file} does not hold a sound tokenizer`, { found, expected, fix })
}

function unsupported(file: string, found: string): OneroundError {
  return new OneroundError('UNSUPPORTED', `${file} holds ${found}, which cannot be built from GGUF metadata`, {
    found,
    expected: SUPPORTED,
    fix: `Put the model's tokenizer.json beside it, as ${join(dirname(file), 'tokenizer.json')}.`,
  })
}
