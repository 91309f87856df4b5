/** A byte-level tokenizer.json as the metadata that llama.cpp reads (ggml's docs/gguf.md, llama.cpp's conversion scripts). */
import { isRecord } from './bounded-file.js'
import { cutNamed } from './gguf-bpe.js'
import { TOKEN_TYPE } from './gguf-vocabulary.js'

type VocabularyEntry =
  | readonly [key: string, kind: 'u32' | 'bool' | 'string', value: number | boolean | string]
  | readonly [key: string, kind: 'i32s', value: readonly number[]]
  | readonly [key: string, kind: 'strings', value: readonly string[]]

interface WrittenVocabulary {
  entries: VocabularyEntry[]
  /** why the tokenizer is not in the entries */
  missing?: string
}

interface VocabularySource {
  /** what tokenizer.json and tokenizer_config.json hold; absent: the model has none */
  json?: Record<string, unknown> | undefined
  config: Record<string, unknown>
  chatTemplate?: string | undefined
  bosToken?: number | undefined
  eosToken?: number | undefined
  /** rows of the embedding; tokens beyond the tokenizer's own are written as unused */
  rows: number
}

const KEY = 'tokenizer.ggml.'

/** Entries for a GGUF file; a tokenizer of another kind becomes `no_vocab`, with the reason. */
export function writtenVocabulary(source: VocabularySource): WrittenVocabulary {
  const { json, config, rows } = source
  const none = (missing: string): WrittenVocabulary => ({ entries: [[`${KEY}model`, 'string', 'no_vocab']], missing })
  if (json === undefined) return none('the base has no tokenizer.json')
  const model = isRecord(json.model) ? json.model : {}
  const cut = cutNamed(json.normalizer, json.pre_tokenizer)
  if (model.type !== 'BPE' || model.byte_fallback === true || cut === undefined) {
    return none('only byte-level BPE with a pre-tokenizer that llama.cpp names can be written')
  }
  const tokens: (string | undefined)[] = new Array<string | undefined>(rows).fill(undefined)
  const types = new Array<number>(rows).fill(TOKEN_TYPE.unused)
  for (const [text, id] of Object.entries(isRecord(model.vocab) ? model.vocab : {})) {
    if (typeof id !== 'number' || !(id in tokens)) return none(`the token ${JSON.stringify(text)} has no row`)
    tokens[id] = text
    types[id] = TOKEN_TYPE.normal
  }
  for (const added of Array.isArray(json.added_tokens) ? (json.added_tokens as unknown[]) : []) {
    if (!isRecord(added) || typeof added.id !== 'number' || typeof added.content !== 'string') continue
    if (!(added.id in tokens)) return none(`the token ${JSON.stringify(added.content)} has no row`)
    tokens[added.id] = added.content
    types[added.id] = added.special === true ? TOKEN_TYPE.control : TOKEN_TYPE.userDefined
  }
  const merges = (Array.isArray(model.merges) ? (model.merges as unknown[]) : []).map((merge) =>
    Array.isArray(merge) ? merge.join(' ') : String(merge),
  )
  const named = tokens.map((text, id) => text ?? `[PAD${id}]`)
  const entries: VocabularyEntry[] = [
    [`${KEY}model`, 'string', 'gpt2'],
    [`${KEY}pre`, 'string', cut],
    [`${KEY}tokens`, 'strings', named],
    [`${KEY}token_type`, 'i32s', types],
    [`${KEY}merges`, 'strings', merges],
  ]
  const special = (name: string, otherwise?: number): number | undefined => {
    const at = named.indexOf(textOf(config[`${name}_token`]) ?? '')
    return at < 0 ? otherwise : at
  }
  const bos = special('bos', source.bosToken)
  const ids = { bos, eos: special('eos', source.eosToken), unknown: special('unk'), padding: special('pad') }
  for (const [name, id] of Object.entries(ids)) {
    if (id !== undefined) entries.push([`${KEY}${name}_token_id`, 'u32', id])
  }
  entries.push([`${KEY}add_bos_token`, 'bool', addsBos(json, config, bos === undefined ? undefined : named[bos])])
  entries.push([`${KEY}add_space_prefix`, 'bool', false])
  if (source.chatTemplate !== undefined) entries.push(['tokenizer.chat_template', 'string', source.chatTemplate])
  return { entries }
}

function textOf(value: unknown): string | undefined {
  const text: unknown = isRecord(value) ? value.content : value
  return typeof text === 'string' ? text : undefined
}

/** Whether the tokenizer puts the first token before a text: its template says so, else its configuration. */
function addsBos(json: Record<string, unknown>, config: Record<string, unknown>, bos: string | undefined): boolean {
  const post = isRecord(json.post_processor) ? json.post_processor : {}
  const parts = post.type === 'Sequence' && Array.isArray(post.processors) ? (post.processors as unknown[]) : [post]
  for (const part of parts) {
    if (!isRecord(part) || part.type !== 'TemplateProcessing' || !Array.isArray(part.single)) continue
    const [first] = part.single as unknown[]
    const token = isRecord(first) && isRecord(first.SpecialToken) ? first.SpecialToken.id : undefined
    return token !== undefined && token === bos
  }
  return config.add_bos_token === true
}
