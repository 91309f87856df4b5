import { describe, expect, it } from 'vitest'
import type { SessionOptions } from '../../../src/native/binding/session.js'
import { describeMemory, fitMemory } from '../../../src/train/memory.js'

const options: SessionOptions = {
  slots: [],
  overlay: [],
  threads: 1,
  rowsPerPass: 8,
  longestExample: 8,
  training: true,
}
const budgetOf = ({ recompute }: SessionOptions) => {
  const activations = recompute === true ? 10 : 100
  return { parameters: 1, gradients: 1, optimizer: 2, activations, scratch: 0, cache: 0, total: 4 + activations }
}
const fitted = (available: number, more: Partial<SessionOptions> = {}, sessions = 1) =>
  fitMemory({ ...options, ...more }, budgetOf, sessions, available)

describe('recomputing blocks', () => {
  it('is chosen where only that fits, and said', () => {
    const { options: chosen, notice } = fitted(50)
    expect(chosen.recompute).toBe(true)
    expect(notice).toMatchObject({ recompute: true, total: 14 })
    expect(describeMemory(notice)).toMatch(/recompute/)
    expect(fitted(150, {}, 2).notice).toMatchObject({ recompute: true, total: 28 })
  })

  it('is left out where all fits, and where somebody decided', () => {
    expect(fitted(104).options.recompute).toBeUndefined()
    expect(describeMemory(fitted(104).notice)).not.toMatch(/recompute/)
    expect(() => fitted(103, { recompute: false })).toThrow(/memory/)
    expect(fitted(1000, { recompute: true }).notice.recompute).toBe(true)
    expect(() => fitted(103, { training: false })).toThrow(/memory/)
  })

  it('is no help where even that does not fit', () => {
    expect(() => fitted(13)).toThrow(/memory/)
  })
})
