/** The demo's clients: the ten presidents after 1945 with the most words in their State of the Union addresses. */
import type { Tokenizer } from '../text/tokenizer.js'
import { type Address, loadAddresses } from './addresses.js'
import { type Dataset, type Example, makeDataset, trainedTokens } from './dataset.js'
import { clientName } from './partition.js'
import { permutation, STREAM } from './random.js'
import { Slices } from './slices.js'
import { makeExample } from './tokenize.js'

const CLIENTS = 10
/** The embedded base has seen every year before 1945; 1945 itself is Roosevelt's last and in neither part. */
const FIRST_YEAR = 1946
/** Trained tokens of each client: four fifths to train on, a fifth held out. */
const TRAIN_TOKENS = 4000
const HELD_OUT_TOKENS = 1000

interface PresidentsOptions {
  seed: number
  /** most tokens in an example */
  cutoff: number
  signal?: AbortSignal | undefined
}

/**
 * For each client about 5,000 tokens: excerpts of whole sentences that follow one another, at most `cutoff` tokens each, drawn
 * with the seed from all of that president's addresses, no sentence twice; the first 4,000 trained tokens of them are to
 * train on and the rest is held out. Only what is drawn is tokenised.
 * @returns client name (e.g. `Harry-S-Truman`) -> its two parts, by name
 * @throws OneroundError NOT_FOUND naming the package to add
 */
export async function presidents(
  tokenizer: Tokenizer,
  o: PresidentsOptions,
): Promise<Record<string, { train: Dataset; heldOut: Dataset }>> {
  const slices = new Slices(o.signal)
  const clients: [string, { train: Dataset; heldOut: Dataset }][] = []
  for (const [name, addresses] of mostWords(loadAddresses())) {
    const { train, heldOut } = await sample(addresses, tokenizer, o, slices)
    clients.push([clientName(name), { train: makeDataset(train), heldOut: makeDataset(heldOut) }])
  }
  return Object.fromEntries(clients)
}

/** The presidents with the most words from FIRST_YEAR on, ordered by name. */
export function mostWords(addresses: readonly Address[]): [string, Address[]][] {
  const spoken = new Map<string, { words: number; addresses: Address[] }>()
  for (const address of addresses) {
    if (address.year < FIRST_YEAR) continue
    const entry = spoken.get(address.president) ?? { words: 0, addresses: [] }
    entry.words += address.text.split(' ').length
    entry.addresses.push(address)
    spoken.set(address.president, entry)
  }
  return [...spoken]
    .sort(([, a], [, b]) => b.words - a.words)
    .slice(0, CLIENTS)
    .map(([name, entry]): [string, Address[]] => [name, entry.addresses])
    .sort(([a], [b]) => (a < b ? -1 : 1))
}

interface Sentence {
  text: string
  year: number
  /** opens its address: no blank before it */
  first: boolean
  used: boolean
}

async function sample(
  addresses: readonly Address[],
  tokenizer: Tokenizer,
  { seed, cutoff }: PresidentsOptions,
  slices: Slices,
): Promise<{ train: Example[]; heldOut: Example[] }> {
  const sentences = addresses.flatMap(({ text, year }) =>
    sentencesOf(text).map((sentence, i): Sentence => ({ text: sentence, year, first: i === 0, used: false })),
  )
  const train: Example[] = []
  const heldOut: Example[] = []
  let tokens = 0
  for (const start of permutation(sentences.length, seed, STREAM.sample)) {
    if (tokens >= TRAIN_TOKENS + HELD_OUT_TOKENS) break
    if (slices.due()) await slices.turn()
    const excerpt = takeExcerpt(sentences, start, tokenizer, cutoff)
    if (excerpt === undefined) continue
    excerpt.id = train.length + heldOut.length
    const part = tokens < TRAIN_TOKENS ? train : heldOut
    part.push(excerpt)
    tokens += trainedTokens(excerpt)
  }
  return { train, heldOut }
}

/** From a drawn sentence on, as many unused ones of the same address as fit; undefined where not even the first does. */
function takeExcerpt(sentences: Sentence[], start: number, tokenizer: Tokenizer, cutoff: number): Example | undefined {
  const ids: number[] = []
  let characters = 0
  const year = sentences[start]?.year
  for (let at = start; at < sentences.length; at++) {
    const sentence = sentences[at] as Sentence
    if (sentence.used || (at > start && sentence.first)) break
    const text = sentence.first ? sentence.text : ` ${sentence.text}`
    const more = tokenizer.encode(text)
    if (ids.length + more.length > cutoff) break
    ids.push(...more)
    characters += text.length
    sentence.used = true
  }
  const example = makeExample(Int32Array.from(ids))
  if (example === undefined) return undefined
  example.characters = characters
  example.fields = { year: String(year) }
  return example
}

/**
 * Sentences, by their closing marks. `Mr.` and `U.S.` end one too, which is harmless: sentences are only ever joined to
 * excerpts again.
 */
function sentencesOf(text: string): string[] {
  return text.split(/(?<=[.!?]["')\]]*) /).filter((sentence) => sentence !== '')
}
