/** What the engine refuses as a tree of texts. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { NativeSession } from '../../../src/native/binding/session.js'
import { openSession } from '../../../src/train/session.js'
import { type TinyFederation, tinyFederation } from '../../federation/tiny.js'

let tiny: TinyFederation
let session: NativeSession
beforeAll(async () => {
  tiny = await tinyFederation()
  const options = { slots: [], overlay: [], threads: 1, rowsPerPass: 40, longestExample: 12 }
  session = openSession(tiny.base, { ...options, training: false })
})
afterAll(async () => {
  session.close()
  await tiny[Symbol.asyncDispose]()
})

const batch = (lengths: readonly number[], parents: readonly number[]) => {
  const rows = lengths.reduce((sum, count) => sum + count, 0)
  return {
    ids: Int32Array.from({ length: rows }, (_, i) => 65 + (i % 20)),
    labels: new Int32Array(rows).fill(66),
    lengths: Int32Array.from(lengths),
    parents: Int32Array.from(parents),
    dropoutCounters: new Uint32Array(lengths.length),
  }
}

describe('a batch with parents', () => {
  it.each<[string, number[], number[]]>([
    ['a parent that comes later', [2, 2], [1, -1]],
    ['itself as a parent', [2, 2], [-1, 1]],
    ['a parent below -1', [2, 2], [-1, -2]],
    ['a parent on another branch', [2, 2, 2, 2], [-1, 0, 0, 1]],
    ['too few parents', [2, 2], [-1]],
    ['a text longer than longestExample', [6, 4, 3], [-1, 0, 1]],
    ['more rows than a pass', Array(4).fill(11), [-1, -1, -1, -1]],
  ])('is refused with %s', (_, lengths, parents) => {
    expect(() => session.evaluate(batch(lengths, parents))).toThrow(expect.objectContaining({ code: 'ARGUMENT' }))
  })

  it('is refused for training', async () => {
    const options = { threads: 1, rowsPerPass: 40, longestExample: 12, training: true, overlay: [] }
    const layer = tiny.base.spec.linearLayers[0]!.name
    const slots = [{ kind: 'lora' as const, layer, rank: 2, scale: 1, dropout: 0 }]
    const training = openSession(tiny.base, { ...options, slots })
    try {
      await expect(training.gradient(batch([3, 3], [-1, 0]), 0)).rejects.toMatchObject({ code: 'ARGUMENT' })
    } finally {
      training.close()
    }
  })

  it('of 17 storeys is taken, of 18 refused', async () => {
    const options = { slots: [], overlay: [], threads: 1, rowsPerPass: 40, longestExample: 40, training: false }
    const deep = openSession(tiny.base, options)
    const stairs = (count: number) =>
      batch(
        Array(count).fill(1),
        Array.from({ length: count }, (_, i) => i - 1),
      )
    try {
      const { losses } = await deep.evaluate(stairs(17))
      const whole = await deep.evaluate({ ...batch([17], [-1]) })
      expect(losses.reduce((sum, loss) => sum + loss, 0)).toBeCloseTo(whole.losses[0]!, 10)
      expect(() => deep.evaluate(stairs(18))).toThrow(expect.objectContaining({ code: 'ARGUMENT' }))
    } finally {
      deep.close()
    }
  })
})
