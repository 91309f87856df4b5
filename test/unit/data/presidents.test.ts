import { beforeAll, describe, expect, it } from 'vitest'
import { cleanAddress, loadAddresses } from '../../../src/data/addresses.js'
import type { Dataset } from '../../../src/data/dataset.js'
import { mostWords, presidents } from '../../../src/data/presidents.js'
import { byteTokenizer } from './byte-tokenizer.js'

describe('addresses', () => {
  it('are cleaned once and for all', () => {
    expect(cleanAddress(' “a”\t&quot;b&quot; it’s 1–2\u2014\u0002x\r\n')).toBe('"a" "b" it\'s 1-2-x')
    const texts = loadAddresses().map(({ text }) => text)
    expect(texts).toHaveLength(233)
    expect(texts.filter((text) => cleanAddress(text) !== text || /[\n\t“”’—]|&\w+;/.test(text))).toEqual([])
  })

  it('the ten with the most words after 1945; the two Bushes are not one', () => {
    const clients = mostWords(loadAddresses())
    expect(clients.map(([name]) => name)).toEqual([
      'Barack Obama',
      'Donald J Trump',
      'Dwight D Eisenhower',
      'George W Bush',
      'Harry S Truman',
      'Jimmy Carter',
      'Lyndon B Johnson',
      'Richard Nixon',
      'Ronald Reagan',
      'William J Clinton',
    ])
    const [, bush] = clients[3] ?? []
    expect(new Set(bush?.map((a) => a.president))).toEqual(new Set(['George W Bush']))
    expect(clients.flatMap(([, addresses]) => addresses).every((a) => a.year > 1945)).toBe(true)
  })
})

describe('presidents', () => {
  let clients: Record<string, { train: Dataset; heldOut: Dataset }>
  beforeAll(async () => {
    clients = await presidents(byteTokenizer(), { seed: 0, cutoff: 512 })
  })

  it('each hold about 4,000 and 1,000 trained tokens in examples within the cutoff', () => {
    expect(Object.keys(clients)).toHaveLength(10)
    for (const { train, heldOut } of Object.values(clients)) {
      expect(train.tokens).toBeGreaterThanOrEqual(4000)
      expect(train.tokens).toBeLessThan(4512)
      expect(heldOut.tokens).toBeGreaterThan(480)
      expect(heldOut.tokens).toBeLessThan(1512)
      for (const { ids } of [...train.examples, ...heldOut.examples]) expect(ids.length).toBeLessThanOrEqual(512)
    }
  })

  it('are verbatim excerpts, none of them shared by training and held-out part', () => {
    const { decode } = byteTokenizer()
    const all = loadAddresses()
    for (const [name, { train, heldOut }] of Object.entries(clients)) {
      const said = all.filter((a) => a.president === name.replaceAll('-', ' '))
      const excerpts = [...train.examples, ...heldOut.examples].map((e) => ({
        text: decode([...e.ids]),
        year: e.fields?.year,
      }))
      for (const { text, year } of excerpts) {
        expect(said.some((a) => String(a.year) === year && a.text.includes(text.trim()))).toBe(true)
      }
      // a sentence of some length that two excerpts shared would have been drawn twice
      const sentences = excerpts.flatMap(({ text }) => text.split('. ').filter((s) => s.length > 60))
      expect(new Set(sentences).size).toBe(sentences.length)
    }
  })

  it("are the seed's alone", async () => {
    expect(await presidents(byteTokenizer(), { seed: 0, cutoff: 512 }).then(ids)).toEqual(ids(clients))
    expect(await presidents(byteTokenizer(), { seed: 1, cutoff: 512 }).then(ids)).not.toEqual(ids(clients))
  })

  function ids(some: typeof clients): number[][][] {
    return Object.values(some).map(({ train }) => train.examples.map((e) => [...e.ids]))
  }
})
