import { dirname, join } from 'node:path'
import { OneroundError } from '../errors.js'

/** tokenizer.ggml.token_type (ggml's docs/gguf.md) */
export const TOKEN_TYPE = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const

/** The list of tokens that a GGUF file's metadata holds, checked. */
export interface GgufVocabulary {
  tokens: readonly string[]
  /** one of TOKEN_TYPE a token; absent: all are normal */
  types: Int32Array | Uint32Array | undefined
  /** token -> number, as tokenizer.json has it */
  vocab: Record<string, number>
  /** tokens that are recognised in text before anything is cut, as tokenizer.json has them */
  added: object[]
}

export function readVocabulary(metadata: ReadonlyMap<string, unknown>, file: string): GgufVocabulary {
  const tokens = texts(metadata, 'tokenizer.ggml.tokens', file)
  const types = metadata.get('tokenizer.ggml.token_type')
  if (types !== undefined) {
    if (!(types instanceof Int32Array || types instanceof Uint32Array) || types.length !== tokens.length) {
      throw malformed(file, 'tokenizer.ggml.token_type of another length or type', `${tokens.length} 32-bit integers`)
    }
  }
  const vocab: Record<string, number> = Object.create(null) // a token may be called __proto__
  for (const [id, token] of tokens.entries()) vocab[token] = id
  const added: object[] = []
  for (const [id, content] of tokens.entries()) {
    const type = types?.[id]
    if (type !== TOKEN_TYPE.unknown && type !== TOKEN_TYPE.control && type !== TOKEN_TYPE.userDefined) continue
    added.push({ id, content, special: type !== TOKEN_TYPE.userDefined, normalized: false, single_word: false })
  }
  return { tokens, types, vocab, added }
}

export function texts(metadata: ReadonlyMap<string, unknown>, key: string, file: string): readonly string[] {
  const value = metadata.get(key)
  if (Array.isArray(value) && value.every((text): text is string => typeof text === 'string')) return value
  const found = `${key} that is ${value === undefined ? 'not there' : 'no list of strings'}`
  throw malformed(file, found, 'a list of strings')
}

export function malformed(file: string, found: string, expected: string): OneroundError {
  return new OneroundError('MALFORMED', `${file} does not hold a sound tokenizer`, { found, expected, fix: fix(file) })
}

export function unsupported(file: string, found: string, expected: string): OneroundError {
  return new OneroundError('UNSUPPORTED', `${file} holds ${found}, which cannot be built from GGUF metadata`, {
    found,
    expected,
    fix: fix(file),
  })
}

function fix(file: string): string {
  return `Put the model's tokenizer.json beside it, as ${join(dirname(file), 'tokenizer.json')}.`
}
