import { expect, test } from 'vitest'
import { FactorRoom } from '../../../src/aggregate/factor-room.js'
import { native } from '../../../src/native/load.js'

const factors = (value: number) => ({ a: new Float32Array(4).fill(value), b: new Float32Array(6).fill(-value) })

test('factors lie one behind another until the room is emptied, and beside it where it is full', () => {
  const room = new FactorRoom(4 * 24)
  const placed = [1, 2, 3].map((value) => room.place(factors(value)))
  for (const [i, one] of placed.entries()) expect(one).toEqual(factors(i + 1))
  expect(placed[1]?.a.buffer).toBe(placed[0]?.a.buffer)
  // 24 numbers fit, so two clients' do.
  expect(placed[2]?.a.buffer).not.toBe(placed[0]?.a.buffer)
  expect(room.used).toBe(80)
  // The addon reads them as any others.
  expect(native().norms([placed[1]!.a, placed[1]!.b])).toEqual(new Float64Array([4, Math.sqrt(24)]))
  room.empty()
  expect(placed[0]?.a).toHaveLength(0)
  expect(room.place(factors(4))).toEqual(factors(4))
})

test('a room that is used again keeps as much memory as was used', () => {
  const room = new FactorRoom(4 * 100)
  const { a } = room.place(factors(1))
  expect(a.buffer.byteLength).toBe(80)
  room.rewind()
  expect(a.buffer.byteLength).toBe(40)
  expect(room.used).toBe(0)
  const next = room.place(factors(2))
  expect(next.a.buffer).toBe(a.buffer)
  expect(next).toEqual(factors(2))
})

test('norms are finite exactly where every number is', () => {
  const found = native().norms([new Float32Array(), new Float32Array([3, 4]), new Float32Array([1, Number.NaN])])
  expect([...found]).toEqual([0, 5, Number.NaN])
  expect(native().norms([new Float32Array(99).fill(3e38)])[0]).toBeCloseTo(3e38 * Math.sqrt(99), -35)
})
