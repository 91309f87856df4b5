import { describe, expect, it } from 'vitest'
import { makeEncoder, trainBpe } from '../../../scripts/base/bpe.mjs'
import { loadAddresses } from '../../../src/data/addresses.js'
import { loadExamples } from '../../../src/data/load.js'
import { Slices } from '../../../src/data/slices.js'
import { encodeText } from '../../../src/data/tokenize.js'
import { byteTokenizer } from './byte-tokenizer.js'

describe('a text encoded in portions', () => {
  const longest = [...loadAddresses()].sort((a, b) => b.text.length - a.text.length)[0]?.text ?? ''
  const encode = makeEncoder(trainBpe([longest], { vocabulary: 1500, specials: [] }))

  it.each([
    ['prose', longest.slice(0, 60_000)],
    ['prose with line breaks', longest.slice(0, 60_000).replace(/\. /g, '.\n\n')],
    ['numbers and runs of blanks', '1,234  5.6   x '.repeat(1500)],
  ])('has the ids of the whole: %s', async (_, text) => {
    let calls = 0
    const tokenizer = {
      ...byteTokenizer({ end: false }),
      encode: (part: string) => {
        calls++
        return encode(part)
      },
    }
    const { examples } = await loadExamples([{ text }], { template: 'text', cutoff: 100_000, lossOn: 'all', tokenizer })
    expect(calls).toBeGreaterThan(4)
    expect([...(examples[0]?.ids ?? [])]).toEqual(encode(text))
  })

  it('without a seam is never cut inside a character', async () => {
    const text = `x${'🙂'.repeat(10_000)}`
    const tokenizer = byteTokenizer({ end: false })
    const { examples } = await loadExamples([{ text }], { template: 'text', cutoff: 100_000, lossOn: 'all', tokenizer })
    expect(tokenizer.decode([...(examples[0]?.ids ?? [])])).toBe(text)
  })
})

it('a long text is encoded in slices: timers come while it runs', { retry: 3 }, async () => {
  // as slow as a tokenizer of 300,000 tokens a second; in one call this text would block for 600 ms
  const slow = {
    encode(text: string): number[] {
      const until = performance.now() + text.length * 7.5e-4
      while (performance.now() < until);
      return Array.from(text, (character) => character.charCodeAt(0))
    },
  }
  const text = 'seven words and a line end here\n'.repeat(25_000)
  let longest = 0
  let last = performance.now()
  const timer = setInterval(() => {
    longest = Math.max(longest, performance.now() - last)
    last = performance.now()
  }, 1)
  const ids = await encodeText(text, Number.POSITIVE_INFINITY, slow, new Slices())
  clearInterval(timer)
  expect(ids.length).toBe(text.length)
  expect(longest).toBeGreaterThan(0)
  expect(longest).toBeLessThan(30)
})
