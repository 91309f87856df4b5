import { afterAll, beforeAll, expect, test } from 'vitest'
import { keepOf } from '../../../src/federation/server.js'
import { type TinyFederation, tinyFederation } from '../../federation/tiny.js'

let tiny: TinyFederation
beforeAll(async () => {
  tiny = await tinyFederation()
})
afterAll(() => tiny[Symbol.asyncDispose]())

test('a round of few clients keeps their updates, one of very many sums them as they come', () => {
  expect(keepOf(tiny.plan, 3, {})).toBe('updates')
  expect(keepOf(tiny.plan, 1_000_000, {})).toBe('sums')
})

test('what needs each update again keeps them, however many', () => {
  expect(keepOf(tiny.plan, 1_000_000, { method: 'ties' })).toBe('updates')
  expect(keepOf(tiny.plan, 1_000_000, { weights: 'uniform' })).toBe('updates')
  expect(keepOf(tiny.plan, 1_000_000, { weights: tiny.plan.aggregate.weights })).toBe('sums')
})
