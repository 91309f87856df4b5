import { expect } from 'vitest'
import { OneroundError } from '../../../src/errors.js'

/** A small seeded generator (mulberry32) for damage that can be repeated. */
export function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Runs `parse`; whatever it throws must be ours and say what to do. Returns whether it was refused. */
export function refused(parse: () => unknown): boolean {
  try {
    parse()
    return false
  } catch (error) {
    expect(error).toBeInstanceOf(OneroundError)
    expect((error as OneroundError).fix).not.toBe('')
    return true
  }
}

/** Flips one to four bits of a copy, some thousands of times. */
export function flipBits(
  bytes: Uint8Array,
  rounds: number,
  within: number,
  parse: (damaged: Uint8Array) => unknown,
): number {
  const next = seeded(20240)
  let count = 0
  for (let round = 0; round < rounds; round++) {
    const damaged = new Uint8Array(bytes)
    for (let flips = 1 + Math.floor(next() * 4); flips > 0; flips--) {
      const at = Math.floor(next() * within)
      damaged[at] = (damaged[at] ?? 0) ^ (1 << Math.floor(next() * 8))
    }
    if (refused(() => parse(damaged))) count++
  }
  return count
}
