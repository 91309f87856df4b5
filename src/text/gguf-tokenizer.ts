import { dirname } from 'node:path'
import { digestParts } from './digest.js'
import { byteLevelTokenizer, SUPPORTED_CUTS } from './gguf-bpe.js'
import { sentencePieceTokenizer } from './gguf-sentencepiece.js'
import { readVocabulary, unsupported } from './gguf-vocabulary.js'
import { buildTokenizer, type Tokenizer, type TokenizerSource } from './tokenizer.js'
import { noTokenizer, type SpecialTokens } from './tokenizer-files.js'

const SUPPORTED = `gpt2 with pre-tokenizer ${SUPPORTED_CUTS}; llama (SentencePiece)`

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
  const json = tokenizerJson(metadata, file)
  const template = metadata.get('tokenizer.chat_template')
  const tokens = metadata.get('tokenizer.ggml.tokens') as readonly string[] // checked by tokenizerJson
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

/** An object of tokenizer.json's form. @throws OneroundError UNSUPPORTED for kinds that cannot be built from metadata */
export function tokenizerJson(metadata: ReadonlyMap<string, unknown>, file: string): Record<string, unknown> {
  const model = metadata.get('tokenizer.ggml.model')
  if (model !== 'gpt2' && model !== 'llama') {
    throw unsupported(file, `a tokenizer of type ${String(model)}`, SUPPORTED)
  }
  const vocabulary = readVocabulary(metadata, file)
  if (model === 'gpt2') return byteLevelTokenizer(metadata, vocabulary, file)
  const unknown = metadata.get('tokenizer.ggml.unknown_token_id') ?? 0
  return sentencePieceTokenizer(metadata, vocabulary, typeof unknown === 'number' ? unknown : undefined, file)
}

function textOf(tokens: readonly string[], id: number | undefined): string | undefined {
  return id === undefined ? undefined : tokens[id]
}
