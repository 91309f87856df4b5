import { type GgufVocabulary, malformed, texts, unsupported } from './gguf-vocabulary.js'

/*
 * How text is cut before merging, by tokenizer.ggml.pre. The patterns are those that llama.cpp (llama-vocab.cpp) and
 * the models' own tokenizer.json files name: gpt-2 is the library's ByteLevel; smollm cuts every digit off first;
 * llama-bpe is Llama 3's, which also takes a whole piece as a token before it tries to merge; qwen2 is like it with
 * single digits, and composes characters (NFC) first.
 */
interface Cut {
  normalizer: object | null
  preTokenizer: object
  ignoreMerges: boolean
}

const BYTE_LEVEL = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true }
const CUTS: ReadonlyMap<string, Cut> = new Map([
  ['gpt-2', { normalizer: null, preTokenizer: BYTE_LEVEL, ignoreMerges: false }],
  [
    'smollm',
    {
      normalizer: null,
      preTokenizer: sequence({ type: 'Digits', individual_digits: true }, BYTE_LEVEL),
      ignoreMerges: false,
    },
  ],
  ['llama-bpe', { normalizer: null, preTokenizer: splitting('\\p{N}{1,3}'), ignoreMerges: true }],
  ['qwen2', { normalizer: { type: 'NFC' }, preTokenizer: splitting('\\p{N}'), ignoreMerges: false }],
])
/** The name of the cut that a tokenizer.json asks for; undefined where none of the table does the same. */
export function cutNamed(normalizer: unknown, preTokenizer: unknown): string | undefined {
  const wanted = [essence(normalizer ?? null), essence(preTokenizer)]
  for (const [name, cut] of CUTS) {
    const own = [essence(cut.normalizer), essence(cut.preTokenizer)]
    if (JSON.stringify(own) === JSON.stringify(wanted)) return name
  }
  return undefined
}

/** A part of tokenizer.json with keys in order, without what only concerns offsets or stands for a default. */
function essence(part: unknown): unknown {
  if (Array.isArray(part)) return part.map(essence)
  if (typeof part !== 'object' || part === null) return part
  const { trim_offsets: _, ...rest } = part as Record<string, unknown>
  if (rest.type === 'ByteLevel') rest.use_regex ??= true
  if (rest.type === 'Split') rest.invert ??= false
  return Object.fromEntries(
    Object.keys(rest)
      .sort()
      .map((key) => [key, essence(rest[key])]),
  )
}

export const SUPPORTED_CUTS = [...CUTS.keys()].join(', ')

function sequence(...pretokenizers: object[]): object {
  return { type: 'Sequence', pretokenizers }
}

/** Llama 3's pattern and Qwen's differ in how many digits are one piece. */
function splitting(digits: string): object {
  const contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
  const words = '[^\\r\\n\\p{L}\\p{N}]?\\p{L}+'
  const rest = ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+'
  const pattern = { Regex: `${contractions}|${words}|${digits}|${rest}` }
  return sequence({ type: 'Split', pattern, behavior: 'Isolated', invert: false }, { ...BYTE_LEVEL, use_regex: false })
}

/** GPT-2's byte-level BPE, as tokenizer.json would hold it. */
export function byteLevelTokenizer(
  metadata: ReadonlyMap<string, unknown>,
  { vocab, added }: GgufVocabulary,
  file: string,
): Record<string, unknown> {
  const pre = metadata.get('tokenizer.ggml.pre')
  const cut = typeof pre === 'string' ? CUTS.get(pre) : undefined
  if (cut === undefined) {
    throw unsupported(file, `the pre-tokenizer ${pre === undefined ? 'default' : String(pre)}`, SUPPORTED_CUTS)
  }
  const merges = texts(metadata, 'tokenizer.ggml.merges', file).map((merge) => pair(merge, file))
  return {
    added_tokens: added,
    normalizer: cut.normalizer,
    pre_tokenizer: cut.preTokenizer,
    post_processor: null,
    decoder: BYTE_LEVEL,
    model: { type: 'BPE', unk_token: null, ignore_merges: cut.ignoreMerges, vocab, merges },
  }
}

/** `left right`; a token may itself begin with a space, never hold one further in. */
function pair(merge: string, file: string): [string, string] {
  const space = merge.indexOf(' ', 1)
  if (space < 0) throw malformed(file, `the merge ${JSON.stringify(merge)}`, 'two tokens with a space between them')
  return [merge.slice(0, space), merge.slice(space + 1)]
}
