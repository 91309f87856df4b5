/** Damage to files, and what a parser may do about it. */
import { Buffer } from 'node:buffer'
import { expect } from 'vitest'
import { OneroundError } from '../../src/errors.js'
import { seeded } from '../unit/model/hostile.js'

export const ROUNDS = Number(process.env.ONEROUND_FUZZ ?? 100_000)
const SLOWEST = 100

const EXTREMES = [
  0n,
  1n,
  0x7fn,
  0x80n,
  0xffn,
  0x7fffffffn,
  0x80000000n,
  0xffffffffn,
  0x7fffffffffffffffn,
  0xffffffffffffffffn,
]

export function mutate(bytes: Uint8Array, next: () => number): Uint8Array {
  const below = (limit: number) => Math.floor(next() * limit)
  let out = Buffer.from(bytes)
  for (let times = 1 + below(3); times > 0 && out.length > 16; times--) {
    const at = below(out.length)
    switch (below(6)) {
      case 0:
        out[at] = (out[at] ?? 0) ^ (1 << below(8))
        break
      case 1:
        out[at] = below(256)
        break
      case 2:
        out.writeBigUInt64LE(EXTREMES[below(EXTREMES.length)] ?? 0n, Math.min(at, out.length - 8))
        break
      case 3:
        out = out.subarray(0, at)
        break
      case 4:
        out = Buffer.concat([out.subarray(0, at), out.subarray(at, at + below(64)), out.subarray(at)])
        break
      default:
        out = Buffer.concat([out.subarray(0, at), out.subarray(at + below(64))])
    }
  }
  return new Uint8Array(out)
}

/** Rounds of one parser; `parse` throws nothing but OneroundError, within SLOWEST. */
export async function fuzz(name: string, sound: Uint8Array, parse: (bytes: Uint8Array) => unknown): Promise<void> {
  const next = seeded(1)
  let refused = 0
  await parse(sound)
  for (let round = 0; round < ROUNDS; round++) {
    const bytes = mutate(sound, next)
    const began = performance.now()
    try {
      const result = parse(bytes)
      if (result instanceof Promise) await result
    } catch (error) {
      if (!(error instanceof OneroundError)) throw new Error(`${name}, round ${round}`, { cause: error })
      refused++
    }
    const spent = performance.now() - began
    if (spent > SLOWEST && (await slowAgain(bytes, parse))) {
      throw new Error(`${name}, round ${round}: ${spent.toFixed(0)} ms`)
    }
  }
  console.log(`${name}: ${refused} of ${ROUNDS} refused`)
  expect(refused).toBeGreaterThan(ROUNDS / 20)
}

/** Another process may have had the machine: what is slow by itself is slow again. */
async function slowAgain(bytes: Uint8Array, parse: (bytes: Uint8Array) => unknown): Promise<boolean> {
  const began = performance.now()
  try {
    await parse(bytes)
  } catch {}
  return performance.now() - began > SLOWEST
}
