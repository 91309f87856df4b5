import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { splitCorpus, tokenStream } from '../../../scripts/base/corpus.mjs'
import { END_OF_TEXT, prepareBase, VOCABULARY } from '../../../scripts/base/prepare.mjs'
import { loadAddresses } from '../../../src/data/addresses.js'

const addresses = loadAddresses()

describe('the split of the corpus', () => {
  const { train, heldOut } = splitCorpus(addresses, { seed: 0, fraction: 0.03 })

  it('is of whole addresses before 1945, disjoint, and loses none', () => {
    expect([...train, ...heldOut].every((a) => a.year < 1945)).toBe(true)
    expect(new Set([...train, ...heldOut])).toEqual(new Set(addresses.filter((a) => a.year < 1945)))
    expect(train.length + heldOut.length).toBe(154)
  })

  it('holds out about three per cent of the characters', () => {
    const characters = (some: typeof train) => some.reduce((sum, a) => sum + a.text.length, 0)
    const fraction = characters(heldOut) / (characters(train) + characters(heldOut))
    expect(fraction).toBeGreaterThan(0.03)
    expect(fraction).toBeLessThan(0.045)
  })

  it('depends on the seed, not on the order of the list', () => {
    const names = (split: { heldOut: typeof train }) => split.heldOut.map((a) => a.year).sort()
    const backwards = splitCorpus([...addresses].reverse(), { seed: 0, fraction: 0.03 })
    expect(names(backwards)).toEqual(names({ heldOut }))
    expect(names(splitCorpus(addresses, { seed: 1, fraction: 0.03 }))).not.toEqual(names({ heldOut }))
  })
})

it('a token stream separates its documents', () => {
  expect([...tokenStream(['ab', 'c'], (text) => [...text].map((c) => c.charCodeAt(0)), 0)]).toEqual([
    0, 97, 98, 0, 99, 0,
  ])
})

it('prepareBase twice writes the same bytes and returns the same ids', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'oneround-base-'))
  try {
    const few = addresses.filter((a) => a.year < 1800 || a.year > 1940)
    const first = await prepareBase(join(folder, 'a'), few)
    const second = await prepareBase(join(folder, 'b'), few)
    expect(second).toEqual(first)
    const read = (name: string) => readFile(join(folder, name), 'utf8')
    expect(await read('a/tokenizer.json')).toBe(await read('b/tokenizer.json'))
    expect(JSON.parse(await read('a/tokenizer_config.json'))).toMatchObject({ eos_token: END_OF_TEXT })
    expect(first.vocabulary).toBe(VOCABULARY)
    expect(first.trainIds.at(0)).toBe(first.endOfText)
    expect(first.trainIds.at(-1)).toBe(first.endOfText)
    expect(first.trainIds.filter((id) => id === first.endOfText)).toHaveLength(first.trainAddresses + 1)
    expect(Math.max(...new Set(first.trainIds))).toBeLessThan(VOCABULARY)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})
