// The embedded base's tokenizer and token streams, before any training of the network.
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { makeEncoder, trainBpe } from './bpe.mjs'
import { splitCorpus, tokenStream } from './corpus.mjs'
import { trainNgram, trainUnigram } from './ngram.mjs'
import { streamPerplexity } from './perplexity.mjs'
import { tokenizerFiles } from './tokenizer-files.mjs'

export const VOCABULARY = 4096
export const END_OF_TEXT = '<|endoftext|>'
const SPLIT = { seed: 0, fraction: 0.03 }

/**
 * Trains the tokenizer on the train split, writes tokenizer.json and tokenizer_config.json, and encodes both splits.
 * Same addresses, same bytes. A few seconds.
 * @param {string} outDir
 * @param {readonly import('./corpus.mjs').Address[]} addresses   src/data/addresses' loadAddresses()
 * @returns {Promise<{ trainIds: Int32Array, heldOutIds: Int32Array, vocabulary: number, endOfText: number,
 *   heldOutAddresses: string[], trainAddresses: number }>} each stream is: end of text, then (document, end of text) repeated
 */
export async function prepareBase(outDir, addresses) {
  const { train, heldOut } = splitCorpus(addresses, SPLIT)
  const bpe = trainBpe(
    train.map((address) => address.text),
    { vocabulary: VOCABULARY, specials: [END_OF_TEXT] },
  )
  const files = tokenizerFiles(bpe)
  await mkdir(outDir, { recursive: true })
  await writeFile(join(outDir, 'tokenizer.json'), `${JSON.stringify(files.tokenizer, null, 1)}\n`)
  await writeFile(join(outDir, 'tokenizer_config.json'), `${JSON.stringify(files.config, null, 2)}\n`)
  const encode = makeEncoder(bpe)
  const endOfText = bpe.tokens.indexOf(END_OF_TEXT)
  const stream = (/** @type {typeof train} */ part) =>
    tokenStream(
      part.map((address) => address.text),
      encode,
      endOfText,
    )
  return {
    trainIds: stream(train),
    heldOutIds: stream(heldOut),
    vocabulary: bpe.tokens.length,
    endOfText,
    heldOutAddresses: heldOut.map((address) => `${address.year} ${address.president}`),
    trainAddresses: train.length,
  }
}

/**
 * Held-out perplexity per token of the models that the base must beat, trained on the same tokens.
 * @param {{ trainIds: Int32Array, heldOutIds: Int32Array, vocabulary: number, endOfText: number }} data
 */
export function baselinePerplexities({ trainIds, heldOutIds, vocabulary, endOfText }) {
  const ngram = (/** @type {number} */ order, /** @type {'interpolated' | 'back-off'} */ kind) =>
    streamPerplexity(trainNgram(trainIds, { vocabulary, separator: endOfText, order, kind }), heldOutIds)
  return {
    unigram: streamPerplexity(trainUnigram(trainIds, vocabulary), heldOutIds),
    bigramKneserNey: ngram(2, 'interpolated'),
    trigramBackOff: ngram(3, 'back-off'),
    trigramKneserNey: ngram(3, 'interpolated'),
  }
}
