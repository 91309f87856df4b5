/** What a strategy adds to a step's gradient: FedProx's pull on merged weights, SCAFFOLD's correction. */
import { describe, expect, it } from 'vitest'
import type { Batch } from '../../../src/native/binding/batch.js'
import type { NativeSession, SessionOptions } from '../../../src/native/binding/session.js'
import type { Slot } from '../../../src/native/binding/slots.js'
import type { StepOptions } from '../../../src/native/binding/step.js'
import { native } from '../../../src/native/load.js'
import { tinyModel } from './tiny-model.js'

const tiny = tinyModel()

const layer = 'model.layers.0.mlp.down_proj'
const tensor = 'model.layers.0.self_attn.q_proj.weight'
const lora: Slot = { kind: 'lora', layer, rank: 3, scale: 1.5, dropout: 0 }
const dense: Slot = { kind: 'dense', tensor }
const batch: Batch = {
  ids: Int32Array.of(1, 2, 3, 4),
  labels: Int32Array.of(2, 3, 4, 5),
  lengths: Int32Array.of(4),
  dropoutCounters: Uint32Array.of(0),
}
// With SGD at rate 1 a step is the gradient.
const sgd: StepOptions = {
  optimizer: 'sgd',
  learningRate: 1,
  momentum: 0,
  nesterov: false,
  beta1: 0,
  beta2: 0,
  epsilon: 1,
  weightDecay: 0,
  clipNorm: 0,
  seed: 0,
}

function open(slot: Slot, more: Partial<SessionOptions> = {}): NativeSession {
  const options = { slots: [slot], overlay: [], threads: 1, rowsPerPass: 32, longestExample: 32, training: true }
  return new (native().Session)(tiny.base.weights, { ...options, ...more })
}

const random = (count: number, stream: number) =>
  native()
    .random(11, stream, count, 'normal')
    .map((x) => x * 0.3)

/** The gradient that a step of this session takes from `values`. */
async function gradient(session: NativeSession, values: Float32Array, o: Partial<StepOptions> = {}) {
  session.setParameters(values)
  const result = await session.step(batch, { ...sgd, ...o })
  const after = session.parameters()
  return { ...result, values: Float64Array.from(values, (value, i) => value - after[i]!) }
}

/** mu/2 s^2 ||B A - B0 A0||^2 */
function penalty(mu: number, values: Float64Array, anchor: Float32Array): number {
  const { rank, scale } = lora as Extract<Slot, { kind: 'lora' }>
  const { in: inDim, out } = tiny.base.spec.linearLayers.find(({ name }) => name === layer)!
  const product = (flat: ArrayLike<number>, o: number, i: number) => {
    let sum = 0
    for (let k = 0; k < rank; k++) sum += flat[rank * inDim + o * rank + k]! * flat[k * inDim + i]!
    return sum
  }
  let total = 0
  for (let o = 0; o < out; o++)
    for (let i = 0; i < inDim; i++) total += (product(values, o, i) - product(anchor, o, i)) ** 2
  return (mu / 2) * scale ** 2 * total
}

describe('the pull towards the start', () => {
  it('is the derivative of mu/2 ||s(BA - B0 A0)||^2, whatever the factors are', async () => {
    const plain = open(lora)
    const near = open(lora, { anchored: true })
    const count = plain.parameterCount
    const [values, anchor] = [random(count, 1), random(count, 2)]
    near.setAnchor(anchor)
    const mu = 0.7
    const without = await gradient(plain, values)
    const pulled = await gradient(near, values, { proximal: mu })
    const found = pulled.values.map((value, i) => value - without.values[i]!)
    const expected = new Float64Array(count)
    for (let i = 0; i < count; i++) {
      const at = Float64Array.from(values)
      at[i]! += 1e-4
      const above = penalty(mu, at, anchor)
      at[i]! -= 2e-4
      expected[i] = (above - penalty(mu, at, anchor)) / 2e-4
    }
    const norm = Math.hypot(...expected)
    expect(norm).toBeGreaterThan(1)
    expect(Math.hypot(...found.map((value, i) => value - expected[i]!)) / norm).toBeLessThan(1e-5)
    expect(pulled.loss).toBe(without.loss)
    expect(pulled.gradientNorm).toBeCloseTo(Math.hypot(...pulled.values), 3)
  })

  it('is nothing where the product is the anchor, though its factors are others', async () => {
    const near = open(lora, { anchored: true })
    const anchor = random(near.parameterCount, 3)
    const { in: inDim } = tiny.base.spec.linearLayers.find(({ name }) => name === layer)!
    // 2 A and B / 2 are the same weights
    const values = anchor.map((value, i) => (i < 3 * inDim ? 2 * value : value / 2))
    near.setAnchor(anchor)
    const without = await gradient(open(lora), values)
    const pulled = await gradient(near, values, { proximal: 5 })
    const difference = Math.hypot(...pulled.values.map((value, i) => value - without.values[i]!))
    expect(difference).toBeLessThan(2e-5)
  })

  it('is mu (w - w0) on a dense tensor, and nothing at mu 0', async () => {
    const near = open(dense, { anchored: true })
    const values = random(near.parameterCount, 4)
    const anchor = random(near.parameterCount, 5)
    near.setAnchor(anchor)
    const without = await gradient(open(dense), values)
    const pulled = await gradient(near, values, { proximal: 0.5 })
    for (let i = 0; i < values.length; i += 7)
      expect(pulled.values[i]! - without.values[i]!).toBeCloseTo(0.5 * (values[i]! - anchor[i]!), 5)
    expect((await gradient(near, values)).values).toEqual(without.values)
  })
})

describe('a correction', () => {
  it('is added to the gradient, and clipped with it', async () => {
    const corrected = open(lora, { corrected: true })
    const values = random(corrected.parameterCount, 6)
    const correction = random(corrected.parameterCount, 7)
    const without = await gradient(open(lora), values)
    expect((await gradient(corrected, values)).values).toEqual(without.values)
    corrected.setCorrection(correction)
    const found = await gradient(corrected, values)
    for (let i = 0; i < values.length; i += 5)
      expect(found.values[i]! - without.values[i]!).toBeCloseTo(correction[i]!, 5)
    const clipped = await gradient(corrected, values, { clipNorm: 0.5 })
    expect(Math.hypot(...clipped.values)).toBeCloseTo(0.5, 4)
  })
})

it('a session without room for them, and another length, are refused', () => {
  const plain = open(lora)
  const near = open(lora, { anchored: true })
  const values = new Float32Array(plain.parameterCount)
  expect(() => plain.setAnchor(values)).toThrow(expect.objectContaining({ code: 'ARGUMENT' }))
  expect(() => near.setCorrection(values)).toThrow(expect.objectContaining({ code: 'ARGUMENT' }))
  expect(() => near.setAnchor(values.subarray(1))).toThrow(expect.objectContaining({ code: 'ARGUMENT' }))
  expect(near.budget.gradients).toBe(2 * plain.budget.gradients)
})
