/**
 * Mutated files against every parser, many of each: `npm run fuzz`, or `ONEROUND_FUZZ=1000 npm run fuzz` for a short one.
 * A mutation flips bits, writes extreme numbers, cuts, doubles or moves a piece. Whatever a parser throws must be ours, and
 * none may take a tenth of a second or much memory over a file of some kilobytes.
 */
import { Buffer } from 'node:buffer'
import { describe, expect, it } from 'vitest'
import { parsePeftConfig } from '../../src/adapter/peft-config.js'
import { OneroundError } from '../../src/errors.js'
import { parseGguf } from '../../src/model/gguf.js'
import { parseSafetensors, serializeSafetensors } from '../../src/model/safetensors.js'
import { decodeUpdate } from '../../src/update/decode.js'
import { parsePlan } from '../../src/update/plan.js'
import { serializeUpdate } from '../../src/update/update.js'
import { buildGguf, tinyDecoder } from '../unit/model/gguf-builder.js'
import { seeded } from '../unit/model/hostile.js'
import { planJson, updateOf } from '../unit/update/fixture.js'

const ROUNDS = Number(process.env.ONEROUND_FUZZ ?? 100_000)
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

function mutate(bytes: Uint8Array, next: () => number): Uint8Array {
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

const safetensors = serializeSafetensors(
  new Map([
    ['a', { dtype: 'F32', shape: [2, 3], data: new Uint8Array(24) }],
    ['b', { dtype: 'BF16', shape: [4], data: new Uint8Array(8) }],
  ]),
  { format: 'pt' },
)
const { entries, tensors } = tinyDecoder('llama')
const peft = {
  peft_type: 'LORA',
  target_modules: ['q_proj'],
  r: 4,
  lora_alpha: 8,
  rank_pattern: { 'layers.1.q_proj': 2 },
}
const text = (value: unknown) => new TextEncoder().encode(JSON.stringify(value))
const decoded = (bytes: Uint8Array) => new TextDecoder().decode(bytes)

const parsers: [name: string, sound: Uint8Array, parse: (bytes: Uint8Array) => unknown][] = [
  ['safetensors', safetensors, (bytes) => parseSafetensors(bytes, 'x')],
  ['GGUF', buildGguf(entries, tensors), (bytes) => parseGguf(bytes, 'x')],
  ['an update', serializeUpdate(updateOf()), (bytes) => decodeUpdate(bytes, 'x')],
  ['a plan', text(planJson()), (bytes) => parsePlan(decoded(bytes))],
  ["PEFT's config", text(peft), (bytes) => parsePeftConfig(decoded(bytes), 'x')],
]

describe('mutated files', () => {
  it.each(parsers)('%s', (name, sound, parse) => {
    const next = seeded(1)
    let refused = 0
    for (let round = 0; round < ROUNDS; round++) {
      const bytes = mutate(sound, next)
      const began = performance.now()
      try {
        parse(bytes)
      } catch (error) {
        if (!(error instanceof OneroundError)) throw new Error(`${name}, round ${round}`, { cause: error })
        refused++
      }
      const spent = performance.now() - began
      if (spent > SLOWEST) throw new Error(`${name}, round ${round}: ${spent.toFixed(0)} ms`)
    }
    console.log(`${name}: ${refused} of ${ROUNDS} refused`)
    expect(refused).toBeGreaterThan(ROUNDS / 10)
  })
})
