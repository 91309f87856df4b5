// A byte-level BPE trainer and encoder (Sennrich et al. 2016 on GPT-2's bytes). It counts each distinct piece once and
// keeps pair counts up to date merge by merge, so 8 million characters take about a second.
// Deterministic: the most frequent pair wins; among equals the one with the smaller ids, left before right.
import { BYTE_CHARACTERS, pieces } from './bytes.mjs'
import { PairHeap } from './pair-heap.mjs'

/** Pair of token ids as one exact number; ids stay below 2^16. */
const pairKey = (/** @type {number} */ left, /** @type {number} */ right) => left * 65536 + right

/**
 * @typedef {object} Bpe
 * @property {string[]} tokens   id -> token in the byte alphabet; special tokens first, then the 256 bytes, then merges
 * @property {[number, number][]} merges   ids of the two parts, in order of rank; merge k makes id specials + 256 + k
 * @property {string[]} specials
 */

/**
 * @param {Iterable<string>} texts
 * @param {{ vocabulary: number, specials: string[] }} options
 * @returns {Bpe}
 */
export function trainBpe(texts, { vocabulary, specials }) {
  const first = specials.length
  if (vocabulary < first + 256 || vocabulary > 65536) {
    throw new RangeError(`vocabulary is ${vocabulary}; expected ${first + 256} to 65536`)
  }
  /** @type {Map<string, number>} */
  const frequency = new Map()
  for (const text of texts) {
    for (const piece of pieces(text)) frequency.set(piece, (frequency.get(piece) ?? 0) + 1)
  }
  const encoder = new TextEncoder()
  const words = [...frequency.keys()].map((piece) => Array.from(encoder.encode(piece), (byte) => first + byte))
  const times = [...frequency.values()]

  /** @type {Map<number, number>} */
  const counts = new Map()
  /** pair -> words that held it when it was counted; a word may have lost it since @type {Map<number, Set<number>>} */
  const where = new Map()
  words.forEach((word, index) => {
    for (let i = 0; i + 1 < word.length; i++) add(pairKey(word[i], word[i + 1]), times[index], index)
  })
  const heap = new PairHeap()
  for (const [key, count] of counts) heap.push(key, count)

  const tokens = [...specials, ...BYTE_CHARACTERS]
  /** @type {[number, number][]} */
  const merges = []
  while (tokens.length < vocabulary) {
    const best = heap.popValid(counts)
    // a pair seen once says nothing about the language
    if (best === undefined || best.count < 2) break
    const left = Math.floor(best.key / 65536)
    const right = best.key % 65536
    const made = tokens.length
    tokens.push(tokens[left] + tokens[right])
    merges.push([left, right])
    /** @type {Set<number>} */
    const touched = new Set()
    for (const index of where.get(best.key) ?? []) {
      const word = words[index]
      const merged = mergePair(word, left, right, made)
      if (merged.length === word.length) continue
      for (let i = 0; i + 1 < word.length; i++) {
        const key = pairKey(word[i], word[i + 1])
        counts.set(key, (counts.get(key) ?? 0) - times[index])
        touched.add(key)
      }
      for (let i = 0; i + 1 < merged.length; i++) {
        const key = pairKey(merged[i], merged[i + 1])
        add(key, times[index], index)
        touched.add(key)
      }
      words[index] = merged
    }
    counts.delete(best.key)
    where.delete(best.key)
    for (const key of touched) {
      const count = counts.get(key) ?? 0
      if (count > 0) heap.push(key, count)
    }
  }
  return { tokens, merges, specials }

  /** @param {number} key @param {number} count @param {number} word */
  function add(key, count, word) {
    counts.set(key, (counts.get(key) ?? 0) + count)
    const set = where.get(key)
    if (set) set.add(word)
    else where.set(key, new Set([word]))
  }
}

/**
 * Every left-right neighbour becomes `made`, from the left.
 * @param {number[]} word @param {number} left @param {number} right @param {number} made
 */
function mergePair(word, left, right, made) {
  const out = []
  for (let i = 0; i < word.length; i++) {
    if (word[i] === left && i + 1 < word.length && word[i + 1] === right) {
      out.push(made)
      i++
    } else out.push(word[i])
  }
  return out
}

/**
 * Text to ids by the merges' ranks. Special tokens in the text are ordinary text here.
 * @param {Bpe} bpe
 * @returns {(text: string) => number[]}
 */
export function makeEncoder(bpe) {
  const first = bpe.specials.length
  /** @type {Map<number, number>} pair -> rank */
  const ranks = new Map(bpe.merges.map(([left, right], rank) => [pairKey(left, right), rank]))
  /** @type {Map<string, number[]>} */
  const known = new Map()
  const bytes = new TextEncoder()
  /** @param {string} piece */
  function encodePiece(piece) {
    let word = Array.from(bytes.encode(piece), (byte) => first + byte)
    while (word.length > 1) {
      let best = Number.POSITIVE_INFINITY
      for (let i = 0; i + 1 < word.length; i++) {
        best = Math.min(best, ranks.get(pairKey(word[i], word[i + 1])) ?? Number.POSITIVE_INFINITY)
      }
      if (best === Number.POSITIVE_INFINITY) break
      const [left, right] = bpe.merges[best]
      word = mergePair(word, left, right, first + 256 + best)
    }
    return word
  }
  return (text) => {
    const ids = []
    for (const piece of pieces(text)) {
      let word = known.get(piece)
      if (word === undefined) {
        word = encodePiece(piece)
        known.set(piece, word)
      }
      for (const id of word) ids.push(id)
    }
    return ids
  }
}
