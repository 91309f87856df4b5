/** Generation and questions on a random base: the same numbers as the plain way of computing them. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makeAdapter } from '../../../src/adapter/adapter.js'
import { choose } from '../../../src/evaluate/choice.js'
import { evaluate } from '../../../src/evaluate/evaluate.js'
import { answer } from '../../../src/evaluate/exact.js'
import { type GenerateOptions, generate } from '../../../src/evaluate/generate.js'
import type { TextEnd } from '../../../src/evaluate/generator.js'
import { slidingPerplexity } from '../../../src/evaluate/perplexity.js'
import { argmax } from '../../../src/evaluate/sampling.js'
import { openSession } from '../../../src/train/session.js'
import { type TinyFederation, tinyFederation } from '../../federation/tiny.js'

let tiny: TinyFederation
beforeAll(async () => {
  tiny = await tinyFederation()
})
afterAll(() => tiny[Symbol.asyncDispose]())

async function whole(prompt: string, o: GenerateOptions): Promise<{ pieces: string[]; end: TextEnd }> {
  const pieces: string[] = []
  const text = generate(tiny.base, prompt, { threads: 1, ...o })
  for (;;) {
    const { done, value } = await text.next()
    if (done) return { pieces, end: value }
    pieces.push(value)
  }
}

/** logits [rows, vocabulary] of a row of ids, without a cache */
async function logitsOf(ids: readonly number[]): Promise<Float32Array> {
  const options = { slots: [], overlay: [], threads: 1, rowsPerPass: 128, longestExample: 128 }
  const session = openSession(tiny.base, { ...options, training: false })
  try {
    const lengths = Int32Array.of(ids.length)
    return await session.logits({
      ids: Int32Array.from(ids),
      labels: new Int32Array(ids.length).fill(-100),
      lengths,
      dropoutCounters: new Uint32Array(1),
    })
  } finally {
    session.close()
  }
}

describe('generate', () => {
  it('says the most likely bytes, as forward passes without a cache find them', async () => {
    const { tokenizer } = tiny.base
    const ids = tokenizer.encode('snow falls')
    const start = ids.length
    while (ids.length < start + 12) {
      const logits = await logitsOf(ids)
      const next = argmax(logits.subarray(-257))
      if (next === tokenizer.eosToken) break
      ids.push(next)
    }
    const { pieces, end } = await whole('snow falls', { maxTokens: 12 })
    expect(pieces.join('')).toBe(tokenizer.decode(ids.slice(start)))
    expect(end).toEqual({
      reason: ids.length < start + 12 ? 'end' : 'length',
      promptTokens: start,
      tokens: ids.length - start,
    })
  })

  it('draws the same text from the same seed, another from another', async () => {
    const draw = async (seed: number) => (await whole('rain', { maxTokens: 40, temperature: 1, seed })).pieces.join('')
    expect(await draw(1)).toBe(await draw(1))
    expect(await draw(1)).not.toBe(await draw(2))
    // one candidate is the most likely one
    const greedy = (await whole('rain', { maxTokens: 20 })).pieces.join('')
    expect((await whole('rain', { maxTokens: 20, temperature: 1, topK: 1 })).pieces.join('')).toBe(greedy)
  })

  it('ends at a stop string', async () => {
    const text = (await whole('rain', { maxTokens: 60, temperature: 1, seed: 3 })).pieces.join('')
    const stop = text.slice(9, 12)
    const { pieces, end } = await whole('rain', { maxTokens: 60, temperature: 1, seed: 3, stop: [stop] })
    expect(end.reason).toBe('stop')
    expect(pieces.join('')).toBe(text.slice(0, text.indexOf(stop)))
  })

  it('never says more than the base can read', async () => {
    const { end } = await whole('x'.repeat(120), { maxTokens: 500, temperature: 1, seed: 9 })
    expect(end.tokens).toBeLessThanOrEqual(tiny.base.spec.maxPositions - 120)
    await expect(whole('x'.repeat(128), {})).rejects.toMatchObject({ code: 'ARGUMENT', found: '128 tokens' })
  })

  it('stops when asked, and frees the session when a reader leaves early', async () => {
    const stop = new AbortController()
    const text = generate(tiny.base, 'rain', { maxTokens: 100, temperature: 1, threads: 1, signal: stop.signal })
    await text.next()
    stop.abort()
    await expect(text.next()).rejects.toMatchObject({ code: 'ABORTED' })
    for await (const piece of generate(tiny.base, 'rain', { maxTokens: 100, threads: 1 })) {
      expect(piece).not.toBe('')
      break
    }
  })

  it('adds an adapter, and refuses one of another base', async () => {
    const { name, in: inDim, out } = tiny.base.spec.linearLayers[0]!
    const adapterOf = (size: number, wide = inDim) => {
      const a = Float32Array.from({ length: wide }, (_, i) => size * Math.sin(i))
      const b = Float32Array.from({ length: out }, (_, i) => Math.cos(i))
      return makeAdapter([{ name, in: wide, out, rank: 1, scale: 2, a, b }])
    }
    const say = async (o: GenerateOptions) =>
      (await whole('rain', { maxTokens: 30, temperature: 1, ...o })).pieces.join('')
    const plain = await say({})
    expect(await say({ adapter: adapterOf(0) })).toBe(plain)
    expect(await say({ adapter: adapterOf(3) })).not.toBe(plain)
    await expect(say({ adapter: adapterOf(1, inDim + 1) })).rejects.toMatchObject({ code: 'MISMATCH' })
  })

  it.each<[GenerateOptions, string]>([
    [{ temperature: -1 }, 'ARGUMENT'],
    [{ maxTokens: 0 }, 'ARGUMENT'],
    [{ stop: [''] }, 'ARGUMENT'],
    [{ chat: [] }, 'UNSUPPORTED'],
  ])('refuses %o', async (wrong, code) => {
    await expect(whole('rain', wrong)).rejects.toMatchObject({ code })
  })
})

const questions = [
  { prompt: 'snow falls on', choices: ['the pines', 'sand'], answer: 0 },
  { prompt: 'sand drifts over the', choices: ['lake', 'road behind', 'é'], answer: 1 },
]

describe('evaluate', () => {
  it('takes the likelihood of every choice from the log-softmax of its tokens', async () => {
    const made = await choose(tiny.base, questions, { threads: 1 })
    const { tokenizer } = tiny.base
    for (const [i, { prompt, choices }] of questions.entries()) {
      for (const [j, choice] of choices.entries()) {
        const start = tokenizer.encode(prompt).length
        const ids = tokenizer.encode(`${prompt} ${choice}`)
        const logits = await logitsOf(ids)
        let expected = 0
        for (let t = start; t < ids.length; t++) {
          const row = logits.subarray((t - 1) * 257, t * 257)
          expected += row[ids[t]!]! - Math.log(row.reduce((sum, x) => sum + Math.exp(x), 0))
        }
        expect(made[i]?.loglikelihoods[j]).toBeCloseTo(expected, 4)
        expect(made[i]?.tokens[j]).toBe(ids.length - start)
      }
    }
  })

  it('gives accuracy and its standard errors, and the loss of the right choices', async () => {
    const [first, second] = await choose(tiny.base, questions, { threads: 1 })
    const right = [first!.picked === 0, second!.picked === 1].filter(Boolean).length / 2
    const score = await evaluate(tiny.base, questions, { task: 'choice', threads: 1 })
    expect(score.accuracy).toBe(right)
    const sum = -(first!.loglikelihoods[0]! + second!.loglikelihoods[1]!)
    expect(score.loss).toBeCloseTo(sum / (first!.tokens[0]! + second!.tokens[1]!), 12)
    expect(Object.keys(score.standardError ?? {}).sort()).toEqual([
      'accuracy',
      'accuracyNormalized',
      'loss',
      'perplexity',
    ])
  })

  it('finds exact answers in greedy texts', async () => {
    const said = await answer(tiny.base, [{ prompt: 'rain', answer: '' }], { maxTokens: 8, stop: [], threads: 1 })
    const known = said[0]!.text.trim()
    const asked = [
      { prompt: 'rain', answer: known },
      { prompt: 'rain', answer: `${known}!` },
    ]
    const score = await evaluate(tiny.base, asked, { task: 'exact', maxTokens: 8, stop: [], threads: 1 })
    expect(score).toMatchObject({ accuracy: 0.5, questions: 2 })
    expect(score.standardError?.accuracy).toBeCloseTo(0.5, 12)
    expect(score.loss).toBeGreaterThan(0)
    const none = { task: 'exact', maxTokens: 8, threads: 1, extract: () => undefined } as const
    expect((await evaluate(tiny.base, asked, none)).accuracy).toBe(0)
  })

  it('tells the error of a loss beside it', async () => {
    const score = await evaluate(tiny.base, tiny.clients.north!, { threads: 1 })
    expect(score.standardError?.loss).toBeGreaterThan(0)
    expect(score.standardError?.loss).toBeLessThan(score.loss)
    expect(score.standardError?.perplexity).toBeCloseTo(score.perplexity * score.standardError!.loss!, 12)
  })

  it('slides a window over a text: one window is the plain loss, and every token counts once', async () => {
    const ids = Int32Array.from(tiny.base.tokenizer.encode('sand drifts over the road behind the wells, '.repeat(3)))
    const short = ids.slice(0, 100)
    const plain = await slidingPerplexity(tiny.base, short, { window: 100, stride: 50, threads: 1 })
    const logits = await logitsOf([...short])
    let expected = 0
    for (let t = 1; t < short.length; t++) {
      const row = logits.subarray((t - 1) * 257, t * 257)
      expected -= row[short[t]!]! - Math.log(row.reduce((sum, x) => sum + Math.exp(x), 0))
    }
    expect(plain.tokens).toBe(99)
    expect(plain.loss).toBeCloseTo(expected / 99, 4)
    const slid = await slidingPerplexity(tiny.base, ids, { window: 32, stride: 8, threads: 1 })
    expect(slid.tokens).toBe(ids.length - 1)
    await expect(slidingPerplexity(tiny.base, ids, { window: 32, stride: 32 })).rejects.toMatchObject({
      code: 'ARGUMENT',
    })
    await expect(slidingPerplexity(tiny.base, ids, { window: 4096 })).rejects.toMatchObject({ code: 'ARGUMENT' })
  })

  it('refuses data of another kind, and questions that are none', async () => {
    const wrong = (data: unknown, o: object) => expect(evaluate(tiny.base, data as never, o as never)).rejects
    await wrong(questions, {}).toMatchObject({ code: 'ARGUMENT' })
    await wrong([{ prompt: 'p', answer: 'x' }], { task: 'choice' }).toMatchObject({ code: 'ARGUMENT' })
    await wrong([], { task: 'choice' }).toMatchObject({ code: 'ARGUMENT' })
    await wrong([], { task: 'exact' }).toMatchObject({ code: 'ARGUMENT' })
    await wrong([{ prompt: '', choices: ['a', 'b'], answer: 0 }], { task: 'choice' }).toMatchObject({
      code: 'ARGUMENT',
    })
    await wrong([{ prompt: 'p', choices: ['a'], answer: 0 }], { task: 'choice' }).toMatchObject({ code: 'ARGUMENT' })
    await wrong(tiny.clients.north, { task: 'vibes' }).toMatchObject({ code: 'UNSUPPORTED' })
  })
})
