import { expect, test } from 'vitest'
import { FactorRooms } from '../../../src/aggregate/factor-rooms.js'
import { native } from '../../../src/native/load.js'

const layer = { name: 'x', in: 4, out: 6, rank: 1, scale: 1 }
const factors = (value: number) => ({ a: new Float32Array(4).fill(value), b: new Float32Array(6).fill(-value) })

test('factors lie one behind another until their layer is released, and beside the room where it is full', () => {
  const rooms = new FactorRooms()
  const placed = [1, 2, 3].map((value) => rooms.place(layer, factors(value)))
  for (const [i, one] of placed.entries()) expect(one).toEqual(factors(i + 1))
  expect(placed[1]?.a.buffer).toBe(placed[0]?.a.buffer)
  // 24 numbers fit, so two clients' do.
  expect(placed[2]?.a.buffer).not.toBe(placed[0]?.a.buffer)
  // The addon reads them as any others.
  expect(native().norms([placed[1]!.a, placed[1]!.b])).toEqual(new Float64Array([4, Math.sqrt(24)]))
  rooms.release('x')
  expect(placed[0]?.a).toHaveLength(0)
  expect(rooms.place(layer, factors(4))).toEqual(factors(4))
})

test('blocks are used again', () => {
  const rooms = new FactorRooms()
  const [one, two] = [rooms.block(5), rooms.block(5)]
  expect(two).not.toBe(one)
  rooms.giveBack([one])
  expect(rooms.block(4)).not.toBe(one)
  expect(rooms.block(5)).toBe(one)
})

test('norms are finite exactly where every number is', () => {
  const found = native().norms([new Float32Array(), new Float32Array([3, 4]), new Float32Array([1, Number.NaN])])
  expect([...found]).toEqual([0, 5, Number.NaN])
  expect(native().norms([new Float32Array(99).fill(3e38)])[0]).toBeCloseTo(3e38 * Math.sqrt(99), -35)
})
