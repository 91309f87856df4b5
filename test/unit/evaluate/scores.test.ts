/** Standard errors, windows and the counting of right answers, on numbers worked out by hand. */
import { describe, expect, it } from 'vitest'
import { UNTRAINED } from '../../../src/data/dataset.js'
import { scoreChoices } from '../../../src/evaluate/choice.js'
import { slidingWindows } from '../../../src/evaluate/perplexity.js'
import { meanError, shareError } from '../../../src/evaluate/standard-error.js'

describe('standard errors', () => {
  it('of a share are those of zeros and ones', () => {
    const ones = [1, 1, 1, 0]
    const mean = 0.75
    const variance = ones.reduce((sum, x) => sum + (x - mean) ** 2, 0) / 3
    expect(shareError(3, 4)).toBeCloseTo(Math.sqrt(variance / 4), 12)
    expect(shareError(0, 4)).toBe(0)
    expect(shareError(1, 1)).toBeUndefined()
  })

  it('of a mean over texts of one length are those of their means', () => {
    const means = [1, 2, 4]
    const variance = means.reduce((sum, x) => sum + (x - 7 / 3) ** 2, 0) / 2
    expect(meanError(means.map((x) => ({ sum: x * 10, tokens: 10 })))).toBeCloseTo(Math.sqrt(variance / 3), 12)
  })

  it('of a mean over texts of several lengths are those that many drawings show', () => {
    // Texts of 1 to 20 tokens, each with a mean of its own: the scatter of the whole mean over many sets of texts.
    let state = 1
    const random = () => {
      state = (state * 48271) % 2147483647
      return state / 2147483647
    }
    const draw = () => {
      const tokens = 1 + Math.floor(random() * 20)
      return { tokens, sum: tokens * (2 + random() + random()) }
    }
    const means: number[] = []
    let told = 0
    const sets = 2000
    for (let i = 0; i < sets; i++) {
      const texts = Array.from({ length: 50 }, draw)
      means.push(texts.reduce((s, t) => s + t.sum, 0) / texts.reduce((s, t) => s + t.tokens, 0))
      told += (meanError(texts) ?? 0) / sets
    }
    const centre = means.reduce((s, x) => s + x, 0) / sets
    const scatter = Math.sqrt(means.reduce((s, x) => s + (x - centre) ** 2, 0) / (sets - 1))
    expect(Math.abs(told / scatter - 1)).toBeLessThan(0.1)
  })

  it('are absent for a single text', () => {
    expect(meanError([{ sum: 3, tokens: 2 }])).toBeUndefined()
  })
})

describe('scoreChoices', () => {
  it('counts right picks and takes the loss of the right choices', () => {
    const questions = [
      { prompt: 'p', choices: ['x', 'y'], answer: 0 },
      { prompt: 'p', choices: ['x', 'y'], answer: 1 },
      { prompt: 'p', choices: ['x', 'y'], answer: 1 },
    ]
    const made = [
      { loglikelihoods: [-1, -2], tokens: [1, 2], picked: 0, pickedNormalized: 1 },
      { loglikelihoods: [-3, -2], tokens: [1, 4], picked: 1, pickedNormalized: 1 },
      { loglikelihoods: [-1, -6], tokens: [1, 1], picked: 0, pickedNormalized: 0 },
    ]
    const score = scoreChoices(questions, made)
    expect(score).toMatchObject({ accuracy: 2 / 3, accuracyNormalized: 1 / 3, questions: 3, tokens: 6, loss: 1.5 })
    expect(score.standardError?.accuracy).toBeCloseTo(Math.sqrt(2 / 9 / 2), 12)
  })
})

describe('slidingWindows', () => {
  it.each([
    [10, 4, 2],
    [10, 4, 1],
    [11, 4, 3],
    [3, 8, 4],
    [8, 8, 4],
    [9, 8, 4],
    [2, 2, 1],
  ])('judge every token of %i but the first once, windows of %i every %i', (count, window, stride) => {
    const ids = Int32Array.from({ length: count }, (_, i) => i + 100)
    const judged: number[] = []
    slidingWindows(ids, window, stride).forEach(({ ids: own, labels }, i) => {
      expect(own.length).toBeLessThanOrEqual(window)
      labels.forEach((label, t) => {
        if (label === UNTRAINED) return
        expect(label).toBe((own[t] ?? 0) + 1)
        // tokens before it in its window
        if (i > 0) expect(t + 1).toBeGreaterThanOrEqual(window - stride)
        judged.push(label)
      })
    })
    expect(judged).toEqual([...ids.slice(1)])
  })
})
