/** Reading by the plan's header: what it takes and refuses is what the parser of whole headers does. */
import { expect, test } from 'vitest'
import { OneroundError } from '../../../src/errors.js'
import { planHeader, readPlanHead } from '../../../src/update/plan-header.js'
import { parseUpdate, serializeUpdate } from '../../../src/update/update.js'
import { randomUpdate, tinyPlan } from '../aggregate/dense.js'

const plan = tinyPlan([
  { name: 'x.up', in: 17, out: 5, rank: 4, scale: 2 },
  { name: 'b.down', in: 6, out: 9, rank: 4, scale: 2 },
])
const header = planHeader(plan)!
const bytes = serializeUpdate(randomUpdate(plan, 'ann', 3, { examples: 12 }))
const headerEnd = 8 + Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true))

/** The update's parts, or the code of its refusal. */
function outcome(file: Uint8Array, withHeader: boolean): unknown {
  try {
    const { info, kind, adapter } = parseUpdate(file, plan, 'it', withHeader ? { header } : {})
    return { info, kind, layers: adapter.layers }
  } catch (error) {
    expect(error).toBeInstanceOf(OneroundError)
    return (error as OneroundError).code
  }
}

test('is the header of every update of the plan', () => {
  const head = readPlanHead(bytes, header, 'it')
  expect(head).toMatchObject({ offset: headerEnd, info: { client: 'ann', examples: 12 } })
  expect(outcome(bytes, true)).toEqual(outcome(bytes, false))
  expect(outcome(bytes, true)).toHaveProperty('layers')
  const moved = new Uint8Array(bytes.length + 1).subarray(1)
  moved.set(bytes)
  expect(outcome(moved, true)).toEqual(outcome(bytes, false))
})

test('numbers lie in the bytes where they are kept, and are copied where not', () => {
  const [kept] = parseUpdate(bytes, plan, 'it', { header, isKept: true }).adapter.layers
  const [copied] = parseUpdate(bytes, plan, 'it', { header }).adapter.layers
  expect(kept!.a.buffer).toBe(bytes.buffer)
  expect(copied!.a.buffer).not.toBe(bytes.buffer)
  expect(copied!.a).toEqual(kept!.a)
})

test('any other byte of the header, and any other length, meets the same answer as without it', () => {
  for (let at = 0; at < headerEnd; at++)
    for (const bit of [1, 2, 32]) {
      const other = Uint8Array.from(bytes)
      other[at]! ^= bit
      expect([at, outcome(other, true)]).toEqual([at, outcome(other, false)])
    }
  for (const length of [0, 7, 8, 20, headerEnd - 1, headerEnd, bytes.length - 4, bytes.length - 1])
    expect(outcome(bytes.subarray(0, length), true)).toEqual(outcome(bytes.subarray(0, length), false))
  const longer = new Uint8Array(bytes.length + 4)
  longer.set(bytes)
  expect(outcome(longer, true)).toBe('MALFORMED')
})

test('plans that train something else have none', () => {
  const shared = tinyPlan(plan.layers, { method: 'ffa' }, ['examples', 'tokens'], { kind: 'ffa' })
  expect(planHeader(shared)).toBeUndefined()
})
