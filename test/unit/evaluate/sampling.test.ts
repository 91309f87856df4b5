import { describe, expect, it } from 'vitest'
import { argmax, candidates, checkSampling, type SamplingOptions, sample } from '../../../src/evaluate/sampling.js'

const all: SamplingOptions = { temperature: 1, topK: 0, topP: 1, minP: 0, seed: 0 }
/** logarithms of these probabilities, shifted: softmax does not see a shift */
const logitsOf = (...probabilities: number[]) => Float32Array.from(probabilities, (p) => Math.log(p) + 3)
const idsOf = (logits: Float32Array, o: Partial<SamplingOptions>) => [...candidates(logits, { ...all, ...o }).ids]

describe('candidates', () => {
  const logits = logitsOf(0.1, 0.4, 0.05, 0.3, 0.15)

  it('are all tokens with their probabilities where nothing is cut', () => {
    const { ids, probabilities } = candidates(logits, all)
    expect([...ids]).toEqual([0, 1, 2, 3, 4])
    for (const [i, p] of [0.1, 0.4, 0.05, 0.3, 0.15].entries()) expect(probabilities[i]).toBeCloseTo(p, 6)
  })

  it('are the k most likely', () => {
    expect(idsOf(logits, { topK: 2 })).toEqual([1, 3])
    expect(idsOf(logits, { topK: 99 })).toHaveLength(5)
    const { probabilities } = candidates(logits, { ...all, topK: 2 })
    expect(probabilities[0]).toBeCloseTo(4 / 7, 6)
  })

  it('are the fewest that reach p together, among the k', () => {
    expect(idsOf(logits, { topP: 0.39 })).toEqual([1])
    expect(idsOf(logits, { topP: 0.41 })).toEqual([1, 3])
    expect(idsOf(logits, { topP: 0.71 })).toEqual([1, 3, 4])
    expect(idsOf(logits, { topP: 1e-9 })).toEqual([1])
    // of 0.4 and 0.3 alone, 0.4 is 57 %
    expect(idsOf(logits, { topK: 2, topP: 0.56 })).toEqual([1])
    expect(idsOf(logits, { topK: 2, topP: 0.58 })).toEqual([1, 3])
  })

  it('are those with a share of the most likely one', () => {
    expect(idsOf(logits, { minP: 0.3 })).toEqual([1, 3, 4])
    expect(idsOf(logits, { minP: 1 })).toEqual([1])
  })

  it('take temperature first: a low one leaves fewer', () => {
    expect(idsOf(logits, { temperature: 0.25, topP: 0.7 })).toEqual([1])
    expect(idsOf(logits, { temperature: 4, topP: 0.7 })).toHaveLength(4)
  })

  it('keep lower ids of equal ones', () => {
    const equal = new Float32Array(6)
    expect(idsOf(equal, { topK: 4 })).toEqual([0, 1, 2, 3])
    expect(idsOf(logitsOf(0.2, 0.4, 0.2, 0.2), { topK: 3 })).toEqual([0, 1, 2])
  })
})

describe('sample', () => {
  it('takes the most likely token without a temperature, the first of equal ones', () => {
    expect(sample(Float32Array.from([1, 5, 5, 2]), { ...all, temperature: 0 }, 9)).toBe(1)
    expect(argmax(Float32Array.from([-3, -2, -2]))).toBe(1)
  })

  it('draws as often as a token is likely, and the same token at the same seed and position', () => {
    const logits = logitsOf(0.1, 0.6, 0.3)
    const counts = [0, 0, 0]
    const draws = 20_000
    for (let i = 0; i < draws; i++) counts[sample(logits, { ...all, seed: 5 }, i)]!++
    // four standard errors of the most uncertain share
    for (const [id, p] of [0.1, 0.6, 0.3].entries()) expect(Math.abs(counts[id]! / draws - p)).toBeLessThan(0.014)
    const row = (seed: number) => Array.from({ length: 40 }, (_, i) => sample(logits, { ...all, seed }, i)).join('')
    expect(row(1)).toBe(row(1))
    expect(row(1)).not.toBe(row(2))
    expect(row(1)).not.toBe(row(1 + 2 ** 32))
  })

  it('refuses scores that are not finite', () => {
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const logits = Float32Array.from([1, bad, 2])
      expect(() => sample(logits, { ...all, temperature: 0 }, 0)).toThrow(/not finite/)
    }
    // a token that is ruled out is no error
    expect(sample(Float32Array.from([1, Number.NEGATIVE_INFINITY]), all, 0)).toBe(0)
  })

  it.each([
    { temperature: -1 },
    { temperature: Number.NaN },
    { topK: -1 },
    { topK: 1.5 },
    { topP: 0 },
    { topP: 1.1 },
    { minP: -0.1 },
    { minP: 2 },
    { seed: -1 },
    { seed: 2 ** 53 },
  ])('refuses %o', (wrong) => {
    expect(() => checkSampling({ ...all, ...wrong })).toThrow(expect.objectContaining({ code: 'ARGUMENT' }))
  })
})
