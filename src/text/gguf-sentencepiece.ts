import { type GgufVocabulary, malformed, TOKEN_TYPE, unsupported } from './gguf-vocabulary.js'

/** SentencePiece's sign for a space */
const SPACE = '\u2581'
/** Characters of a piece: SentencePiece makes them of at most 16 unless told otherwise; all of their cuts are tried. */
const LONGEST_PIECE = 128

/**
 * Llama's SentencePiece BPE, as tokenizer.json would hold it: characters that are no piece fall back to their bytes.
 * SentencePiece joins the neighbours whose piece has the highest score. Merges in falling order of the score of what
 * they make do the same; where two have the same score, the order is that of transformers' converter
 * (convert_slow_tokenizer.py), so that a file and its tokenizer.json agree.
 */
export function sentencePieceTokenizer(
  metadata: ReadonlyMap<string, unknown>,
  vocabulary: GgufVocabulary,
  unknownToken: number | undefined,
  file: string,
): Record<string, unknown> {
  // The tokenizer library has a Precompiled normaliser, but it applies NFKC and never reads the map: other tokens, silently.
  for (const key of ['tokenizer.ggml.precompiled_charsmap', 'tokenizer.ggml.remove_extra_whitespaces']) {
    const value = metadata.get(key)
    if (value !== undefined && value !== false) throw unsupported(file, `a SentencePiece model with ${key}`, 'none')
  }
  const { vocab, added, tokens } = vocabulary
  const prefix = metadata.get('tokenizer.ggml.add_space_prefix') !== false
  const fromSpace = { type: 'Replace', pattern: { String: ' ' }, content: SPACE }
  const toSpace = { type: 'Replace', pattern: { String: SPACE }, content: ' ' }
  const joined = [toSpace, { type: 'ByteFallback' }, { type: 'Fuse' }]
  return {
    added_tokens: added,
    normalizer: {
      type: 'Sequence',
      normalizers: prefix ? [{ type: 'Prepend', prepend: SPACE }, fromSpace] : [fromSpace],
    },
    pre_tokenizer: null,
    post_processor: null,
    decoder: {
      type: 'Sequence',
      decoders: prefix ? [...joined, { type: 'Strip', content: ' ', start: 1, stop: 0 }] : joined,
    },
    model: {
      type: 'BPE',
      unk_token: unknownToken === undefined ? null : (tokens[unknownToken] ?? null),
      byte_fallback: true,
      fuse_unk: true,
      vocab,
      merges: mergesOf(vocabulary, scoresOf(metadata, tokens.length, file), file),
    },
  }
}

function scoresOf(metadata: ReadonlyMap<string, unknown>, count: number, file: string): Float32Array {
  const scores = metadata.get('tokenizer.ggml.scores')
  if (scores instanceof Float32Array && scores.length === count && scores.every(Number.isFinite)) return scores
  throw malformed(file, 'no tokenizer.ggml.scores, or scores that are no numbers', `${count} finite numbers`)
}

interface Merge {
  left: string
  right: string
  score: number
  lengths: [left: number, right: number]
}

function mergesOf({ tokens, types, vocab }: GgufVocabulary, scores: Float32Array, file: string): [string, string][] {
  const isPiece = (id: number | undefined): id is number =>
    id !== undefined && (types === undefined || types[id] === TOKEN_TYPE.normal)
  const merges: Merge[] = []
  for (const [id, token] of tokens.entries()) {
    if (!isPiece(id)) continue
    const characters = Array.from(token)
    if (characters.length > LONGEST_PIECE) {
      throw malformed(file, `a piece of ${characters.length} characters`, `at most ${LONGEST_PIECE}`)
    }
    const cuts: Merge[] = []
    for (let at = 1; at < characters.length; at++) {
      const left = characters.slice(0, at).join('')
      const right = characters.slice(at).join('')
      if (!isPiece(vocab[left]) || !isPiece(vocab[right])) continue
      cuts.push({ left, right, score: scores[id] ?? 0, lengths: [at, characters.length - at] })
    }
    const number = (piece: string): number => vocab[piece] ?? 0
    cuts.sort((a, b) => number(a.left) - number(b.left) || number(a.right) - number(b.right))
    merges.push(...cuts)
  }
  merges.sort((a, b) => b.score - a.score || b.lengths[0] - a.lengths[0] || b.lengths[1] - a.lengths[1])
  return merges.map(({ left, right }) => [left, right])
}
