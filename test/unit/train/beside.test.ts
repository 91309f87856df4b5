/** Sessions beside each other: what may step together, and what a failed step leaves. */
import { expect, it } from 'vitest'
import type { Batch } from '../../../src/native/binding/batch.js'
import type { NativeSession, SessionOptions } from '../../../src/native/binding/session.js'
import type { StepOptions } from '../../../src/native/binding/step.js'
import { native } from '../../../src/native/load.js'
import { adamw } from '../../../src/train/optimizer.js'
import { tinyModel } from './tiny-model.js'

const tiny = tinyModel()

const batch: Batch = {
  ids: Int32Array.of(1, 2, 3, 4),
  labels: Int32Array.of(2, 3, 4, 5),
  lengths: Int32Array.of(4),
  dropoutCounters: Uint32Array.of(0),
}
const options: StepOptions = { ...adamw, learningRate: 0.01, weightDecay: 0, clipNorm: 0, seed: 0 }
const lora = { kind: 'lora', layer: 'model.layers.0.mlp.down_proj', rank: 3, scale: 1.5, dropout: 0 } as const

const open = (more: Partial<SessionOptions> = {}): NativeSession =>
  new (native().Session)(tiny.base.weights, {
    ...{ slots: [lora], overlay: [], threads: 1, rowsPerPass: 32, longestExample: 8, training: true, clients: 2 },
    ...more,
  })
const beside = (session: NativeSession) => new (native().Session)(session)
const together = (...sessions: NativeSession[]) =>
  native().stepTogether(
    sessions,
    sessions.map(() => batch),
    sessions.map(() => options),
  )
const noise = (session: NativeSession, stream: number) =>
  session.setParameters(native().random(5, stream, session.parameterCount, 'normal'))

it('each keeps parameters and optimizer state of its own', async () => {
  const first = open()
  const second = beside(first)
  noise(first, 1)
  noise(second, 2)
  const before = second.parameters()
  await first.step(batch, options)
  expect(second.parameters()).toEqual(before)
  expect(second.optimizerState().steps).toBe(0)
  const [one, two] = await together(first, second)
  expect(one?.loss).not.toBe(two?.loss)
  expect([first.optimizerState().steps, second.optimizerState().steps]).toEqual([2, 1])
  first.close()
  await second.step(batch, options)
  second.close()
})

it('where one fails, none has stepped', async () => {
  const first = open()
  const second = beside(first)
  noise(first, 1)
  second.setParameters(new Float32Array(second.parameterCount).fill(Number.NaN))
  const before = first.parameters()
  await expect(together(first, second)).rejects.toMatchObject({ code: 'NUMERIC' })
  expect(first.parameters()).toEqual(before)
  expect(first.optimizerState().steps).toBe(0)
  first.close()
  second.close()
})

it.each<[string, (first: NativeSession) => Promise<unknown>, RegExp]>([
  ['nobody', () => together(), /no session/],
  ['one twice', (first) => together(first, first), /twice/],
  [
    'more than there is room for',
    (first) => together(first, beside(first), beside(first)),
    /3 sessions .* opened for 2/,
  ],
  ['strangers', (first) => together(first, open()), /share nothing/],
  ['one that is not a session', (first) => together(first, {} as NativeSession), /sessions\[1\] is not a Session/],
  ['fewer batches than sessions', (first) => native().stepTogether([first], [], [options]), /batches/],
  [
    'a batch that does not fit',
    (first) => native().stepTogether([first], [{ ...batch, lengths: Int32Array.of(5) }], [options]),
    /lengths/,
  ],
])('%s: refused', async (_, step, message) => {
  const first = open()
  await expect((async () => step(first))()).rejects.toThrow(message)
  first.close()
})

it('one job at a time runs of all', async () => {
  // Long enough that it still runs when the other asks, on however busy a machine.
  const examples = 2048
  const first = open({ rowsPerPass: 8 * examples })
  const second = beside(first)
  const ids = new Int32Array(8 * examples).fill(3)
  const lengths = new Int32Array(examples).fill(8)
  const running = first.step({ ids, labels: ids, lengths, dropoutCounters: new Uint32Array(examples) }, options)
  expect(() => second.step(batch, options)).toThrow('a session beside this one is busy')
  // Its own numbers are at hand meanwhile.
  expect(second.parameters()).toHaveLength(second.parameterCount)
  await running
  first.close()
  second.close()
})

it('whole tensors that train cannot be shared', () => {
  const first = open({ slots: [{ kind: 'dense', tensor: 'model.layers.0.self_attn.q_proj.weight' }] })
  expect(() => beside(first)).toThrow('whole tensor')
  first.close()
  expect(() => beside(first)).toThrow('closed')
})

it('the budget counts the parameters of all', () => {
  const { slots, ...rest } = { slots: [lora], overlay: [], threads: 1, rowsPerPass: 32, longestExample: 8 }
  const budget = (clients: number) =>
    native().memoryBudget(tiny.base.weights, { slots, ...rest, training: true, clients })
  const [one, three] = [budget(1), budget(3)]
  for (const part of ['parameters', 'gradients', 'optimizer'] as const) expect(three[part]).toBe(3 * one[part])
  expect(() => budget(33)).toThrow('clients is out of range')
})
