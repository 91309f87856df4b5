/** Text to token rows with labels. */
import type { Tokenizer } from '../text/tokenizer.js'
import { type DataOptions, type Example, UNTRAINED } from './dataset.js'
import type { Slices } from './slices.js'
import type { Segment } from './templates.js'

/** About 3 ms of tokenising at 300,000 tokens/s. */
const PORTION = 4096

/** A word's blank after something else: pre-tokenizers for byte-level BPE (GPT-2's, Llama 3's) always part text here. */
const SEAM = /(?<=\S) (?=\p{L})/gu

/**
 * The ids of a text, at most `most` of them, without blocking the event loop. A long text is encoded in portions cut at
 * seams; with a byte-level tokenizer the ids are those of the whole. Where 4,096 characters have no seam it is cut hard.
 */
export async function encodeText(
  text: string,
  most: number,
  tokenizer: Pick<Tokenizer, 'encode'>,
  slices: Slices,
): Promise<number[]> {
  if (text.length <= PORTION) {
    if (slices.due()) await slices.turn()
    return tokenizer.encode(text).slice(0, most)
  }
  const ids: number[] = []
  for (let at = 0; at < text.length && ids.length < most; ) {
    if (slices.due()) await slices.turn()
    const end = portionEnd(text, at)
    for (const id of tokenizer.encode(text.slice(at, end))) ids.push(id)
    at = end
  }
  return ids.length > most ? ids.slice(0, most) : ids
}

function portionEnd(text: string, start: number): number {
  const end = start + PORTION
  if (end >= text.length) return text.length
  let seam = -1
  // the last seam of the portion; one more character so that a seam may lie at its very end
  for (const match of text.slice(start, end + 1).matchAll(SEAM)) seam = match.index
  if (seam > 0) return start + seam
  // not between the halves of a surrogate pair
  const last = text.charCodeAt(end - 1)
  return last >= 0xd800 && last <= 0xdbff ? end - 1 : end
}

/**
 * One row as one example: its segments, then end of text where the template wants it. Nothing is put before it.
 * @returns undefined where no label is left to train: an empty text, or a prompt that fills the cutoff
 */
export async function tokenizeRow(
  segments: readonly Segment[],
  id: number,
  o: Pick<DataOptions, 'cutoff' | 'lossOn'> & { endOfText: boolean },
  tokenizer: Tokenizer,
  slices: Slices,
): Promise<Example | undefined> {
  const all: number[] = []
  const trained: boolean[] = []
  const add = (ids: readonly number[], train: boolean): void => {
    for (const token of ids) {
      all.push(token)
      trained.push(train)
    }
  }
  for (const { text, completion } of segments) {
    if (all.length > o.cutoff) break
    add(await encodeText(text, o.cutoff + 1, tokenizer, slices), completion || o.lossOn === 'all')
  }
  if (o.endOfText && all.length > 0 && tokenizer.eosToken !== undefined) add([tokenizer.eosToken], true)
  const cut = all.length > o.cutoff
  const example = makeExample(Int32Array.from(cut ? all.slice(0, o.cutoff) : all), trained)
  if (example === undefined) return undefined
  example.id = id
  example.characters = segments.reduce((sum, { text }) => sum + text.length, 0)
  if (cut) example.cut = true
  return example
}

/**
 * One document as consecutive examples of `cutoff` tokens without overlap; the last one ends with the end of text.
 * A rest of a single token has nothing to predict and is left out.
 */
export async function tokenizeDocument(
  text: string,
  cutoff: number,
  tokenizer: Tokenizer,
  slices: Slices,
): Promise<Example[]> {
  const all = await encodeText(text, Number.POSITIVE_INFINITY, tokenizer, slices)
  if (all.length > 0 && tokenizer.eosToken !== undefined) all.push(tokenizer.eosToken)
  const examples: Example[] = []
  for (let at = 0; at < all.length; at += cutoff) {
    if (slices.due()) await slices.turn()
    const ids = all.slice(at, at + cutoff)
    const example = makeExample(Int32Array.from(ids))
    if (example === undefined) continue
    example.id = examples.length
    example.characters = tokenizer.decode(ids).length
    examples.push(example)
  }
  return examples
}

/**
 * Labels for a row of ids: each position's target is the next id.
 * @param trained one an id: whether a loss is taken where it is the target; default: everywhere
 * @returns undefined where nothing is trained
 */
export function makeExample(ids: Int32Array, trained?: readonly boolean[]): Example | undefined {
  const labels = new Int32Array(ids.length).fill(UNTRAINED)
  let count = 0
  for (let target = 1; target < ids.length; target++) {
    if (trained !== undefined && trained[target] !== true) continue
    labels[target - 1] = ids[target] as number
    count++
  }
  return count === 0 ? undefined : { ids, labels, id: 0, characters: 0 }
}
