/** Texts that grow side by side are the texts that grow alone. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { promptTokens } from '../../../src/evaluate/generate.js'
import { Generator } from '../../../src/evaluate/generator.js'
import { native } from '../../../src/native/load.js'
import { type TinyFederation, tinyFederation } from '../../federation/tiny.js'

let tiny: TinyFederation
beforeAll(async () => {
  tiny = await tinyFederation()
})
afterAll(() => tiny[Symbol.asyncDispose]())

const options = { maxTokens: 24, temperature: 1, topK: 0, topP: 1, minP: 0, seed: 5, stop: ['q'] }
const starts = Array.from({ length: 19 }, (_, i) => 'snow falls on the pines behind the lake '.slice(0, 2 + 2 * i))

async function grow(which: readonly string[], signal?: AbortSignal): Promise<string[]> {
  const prompts = which.map((text) => promptTokens(tiny.base, text))
  using generator = new Generator(tiny.base, undefined, 100, { threads: 2 }, Math.max(2, prompts.length))
  const texts: string[] = []
  const keep = (at: number, text: string) => {
    texts[at] = text
  }
  await generator.texts(prompts, options, keep, signal)
  return texts
}

describe('texts side by side', () => {
  it('are each what they are alone, also where there are more than lanes', async () => {
    const all = await grow(starts)
    expect(all).toHaveLength(starts.length)
    expect(new Set(all.map((text) => text.length)).size).toBeGreaterThan(1)
    for (const at of [0, 7, 18]) expect((await grow([starts[at]!]))[0]).toBe(all[at])
  })

  it('end together when asked, or when one cannot go on', async () => {
    const stop = new AbortController()
    stop.abort()
    await expect(grow(starts, stop.signal)).rejects.toMatchObject({ code: 'ABORTED' })
    await expect(grow(['a', 'x'.repeat(128), 'b'])).rejects.toMatchObject({ code: 'ARGUMENT' })
  })

  it('are refused by the engine where they are none', async () => {
    const size = { threads: 1, rowsPerPass: 16, longestExample: 16, training: false, slots: [], overlay: [] }
    const session = new (native().Session)(tiny.base.weights, { ...size, cache: 3, sequences: 2 })
    const refused = (ids: number[], lanes: number[]) =>
      expect(() => session.nextEach(Int32Array.from(ids), Int32Array.from(lanes))).toThrow(
        expect.objectContaining({ code: 'ARGUMENT' }),
      )
    try {
      refused([1], [0])
      await session.prefill(Int32Array.of(1, 2), 0)
      await session.prefill(Int32Array.of(1, 2, 3), 1)
      refused([], [])
      refused([1, 2], [0])
      refused([1, 2], [0, 0])
      refused([1], [2])
      refused([1], [-1])
      refused([1 << 20], [0])
      refused([1], [1])
      await session.nextEach(Int32Array.of(1), Int32Array.of(0))
      refused([1], [0])
      expect(() => session.prefill(Int32Array.of(1), 2)).toThrow(expect.objectContaining({ code: 'ARGUMENT' }))
    } finally {
      session.close()
    }
    const many = () => new (native().Session)(tiny.base.weights, { ...size, cache: 4, sequences: 17 })
    expect(many).toThrow(expect.objectContaining({ code: 'ARGUMENT' }))
  })
})
