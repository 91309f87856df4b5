/** Slots of which a part is frozen, against LoRA's own gradients, which the golden tests hold to PyTorch's. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { initialAdapter } from '../../../src/adapter/initial.js'
import { type Model, openModel } from '../../../src/model/open.js'
import type { Batch } from '../../../src/native/binding/batch.js'
import type { OverlayLayer } from '../../../src/native/binding/overlay.js'
import type { SessionOptions } from '../../../src/native/binding/session.js'
import type { Slot } from '../../../src/native/binding/slots.js'
import type { StepOptions } from '../../../src/native/binding/step.js'
import { native } from '../../../src/native/load.js'
import { flatten, joined, loraSlots } from '../../../src/train/slots.js'
import { createPlan } from '../../../src/update/create-plan.js'
import { type SharedLayer, sharedFactors, withCore } from '../../../src/update/shared-factors.js'
import { writeTinyBase } from '../../cli/tiny-base.js'
import { relativeError } from '../../golden/compare.js'
import { sharedFile, skipReason } from '../../golden/shared-files.js'

const folder = mkdtempSync(join(tmpdir(), 'oneround-'))
let tiny: Model
beforeAll(async () => {
  writeTinyBase(folder)
  tiny = await openModel(folder)
})
afterAll(async () => {
  await tiny.close()
  rmSync(folder, { recursive: true })
})

function batchFor({ spec }: Model): Batch {
  const lengths = Int32Array.from([7, 12, 5])
  const ids = Int32Array.from({ length: 24 }, (_, i) => (17 * i * i + 5 * i + 3) % spec.shape.vocabulary)
  return {
    ids,
    labels: Int32Array.from(ids, (_, i) => ids[i + 1] ?? -100),
    lengths,
    dropoutCounters: Uint32Array.of(4, 9, 2),
  }
}

const size: Omit<SessionOptions, 'slots' | 'overlay'> = {
  threads: 2,
  rowsPerPass: 32,
  longestExample: 16,
  training: true,
}

async function gradientOf(base: Model, slots: Slot[], parameters: Float32Array, o: Partial<SessionOptions> = {}) {
  const session = new (native().Session)(base.weights, { ...size, overlay: [], slots, ...o })
  session.setParameters(parameters)
  const result = await session.gradient(batchFor(base), 5)
  const { budget } = session
  session.close()
  return { ...result, budget }
}

const draw = (stream: number, count: number) =>
  native()
    .random(3, stream, count, 'normal')
    .map((x) => 0.1 * x)
/** At rate 1 a step of SGD is the gradient. */
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

const dropout = 0.2

/** Random B of 'ffa', or R of 'fed-sb'; with the slots, and the same factors as LoRA. */
async function modes(base: Model, kind: 'ffa' | 'fed-sb', rate = dropout, given?: Float32Array) {
  const plan = await createPlan(base, {
    trainable: kind,
    rank: 3,
    alpha: 6,
    rsLora: true,
    dropout: rate,
    clients: ['a'],
  })
  const shared = sharedFactors(plan)
  let at = 0
  const trained = shared.map(({ out, rank }, i) => {
    const count = kind === 'ffa' ? out * rank : rank * rank
    at += count
    return given?.slice(at - count, at) ?? draw(i, count)
  })
  const slots = shared.map(({ name, rank, scale, a, b }): Slot => {
    const common = { layer: name, rank, scale, dropout: rate, a }
    return kind === 'ffa' ? { kind: 'lora_B', ...common } : { kind: 'core', ...common, b }
  })
  const lora = shared.map((layer, i) => (kind === 'ffa' ? { ...layer, b: trained[i]! } : withCore(layer, trained[i]!)))
  return { shared, slots, parameters: joined(trained), lora }
}

/** d_B of each layer, out of the flat gradient of LoRA. */
function gradientsOfB(shared: readonly SharedLayer[], flat: Float32Array): Float32Array[] {
  let at = 0
  return shared.map(({ in: inDim, out, rank }) => {
    at += rank * (inDim + out)
    return flat.subarray(at - out * rank, at)
  })
}

/** d_R = B' d_B, since B stands before R: in double. */
function gradientOfCore({ b, out, rank }: SharedLayer, d: Float32Array): Float32Array {
  return Float32Array.from({ length: rank * rank }, (_, i) => {
    let sum = 0
    for (let row = 0; row < out; row++) sum += b[row * rank + Math.floor(i / rank)]! * d[row * rank + (i % rank)]!
    return sum
  })
}

const references = ['llama', 'qwen3', 'gpt2', 'mistral_sliding']
const reason = skipReason('golden/tiny')
const sources = ['tiny', ...(reason === undefined ? references : [])]
describe.each(sources)('what trains of %s behind frozen factors', (name) => {
  const withBase = async (body: (base: Model) => Promise<void>) => {
    if (name === 'tiny') return body(tiny)
    await using base = await openModel(join(sharedFile('golden/tiny') ?? '', name, 'model'))
    await body(base)
  }

  it('has the gradient that LoRA gives B, bit for bit, and the loss', () =>
    withBase(async (base) => {
      const { shared, slots, parameters, lora } = await modes(base, 'ffa')
      const found = await gradientOf(base, slots, parameters)
      const whole = await gradientOf(base, loraSlots(lora, dropout), flatten(lora))
      expect(found.loss).toBe(whole.loss)
      expect(found.gradient).toEqual(joined(gradientsOfB(shared, whole.gradient)))
    }))

  it("has the gradient B' d_B of a core", () =>
    withBase(async (base) => {
      const { shared, slots, parameters, lora } = await modes(base, 'fed-sb')
      const found = await gradientOf(base, slots, parameters)
      const whole = await gradientOf(base, loraSlots(lora, dropout), flatten(lora))
      expect(Math.abs(found.loss - whole.loss)).toBeLessThan(1e-5 * whole.loss)
      const d = gradientsOfB(shared, whole.gradient)
      let at = 0
      for (const [i, layer] of shared.entries()) {
        const own = found.gradient.subarray(at, at + layer.rank ** 2)
        at += own.length
        expect(relativeError(own, gradientOfCore(layer, d[i]!)), layer.name).toBeLessThan(2e-5)
      }
      expect(at).toBe(found.gradient.length)
    }))
})

describe.each(['ffa', 'fed-sb'] as const)('a session of %s', (kind) => {
  it('has the same bits with any threads, passes and with blocks computed again', async () => {
    const { slots, parameters } = await modes(tiny, kind)
    const { gradient, loss } = await gradientOf(tiny, slots, parameters)
    for (const o of [{ threads: 1 }, { rowsPerPass: 16 }, { recompute: true }]) {
      const again = await gradientOf(tiny, slots, parameters, o)
      expect(again.gradient, JSON.stringify(o)).toEqual(gradient)
      expect(again.loss).toBe(loss)
    }
  })

  it('falls along its gradient as finite differences say', async () => {
    const { slots, parameters } = await modes(tiny, kind, 0)
    const { gradient } = await gradientOf(tiny, slots, parameters)
    const norm = Math.sqrt(gradient.reduce((sum, g) => sum + g * g, 0))
    const step = 1e-2
    const lossAt = async (sign: number) =>
      (
        await gradientOf(
          tiny,
          slots,
          parameters.map((p, i) => p + (sign * step * gradient[i]!) / norm),
        )
      ).loss
    const slope = ((await lossAt(1)) - (await lossAt(-1))) / (2 * step)
    expect(Math.abs(slope / norm - 1)).toBeLessThan(1e-3)
  })

  it("has FedProx's pull on merged weights that LoRA has, as it falls on what trains", async () => {
    const { shared, slots, parameters, lora } = await modes(tiny, kind, 0)
    const anchor = parameters.map((value, i) => value + 0.05 * Math.sin(i))
    const from = await modes(tiny, kind, 0, anchor)
    const mu = 20
    const stepped = async (used: Slot[], values: Float32Array, start: Float32Array, proximal: number) => {
      const session = new (native().Session)(tiny.weights, { ...size, overlay: [], slots: used, anchored: true })
      session.setParameters(values)
      session.setAnchor(start)
      await session.step(batchFor(tiny), { ...sgd, proximal })
      const after = session.parameters()
      session.close()
      return values.map((value, i) => value - after[i]!)
    }
    /** what the pull adds to a step of SGD at rate 1 */
    const pull = async (used: Slot[], values: Float32Array, start: Float32Array) => {
      const without = await stepped(used, values, start, 0)
      return (await stepped(used, values, start, mu)).map((value, i) => value - without[i]!)
    }
    const found = await pull(slots, parameters, anchor)
    const whole = await pull(loraSlots(lora, 0), flatten(lora), flatten(from.lora))
    const d = gradientsOfB(shared, whole)
    const expected = joined(kind === 'ffa' ? d : shared.map((layer, i) => gradientOfCore(layer, d[i]!)))
    expect(Math.hypot(...expected)).toBeGreaterThan(0.1)
    expect(relativeError(found, expected)).toBeLessThan(1e-4)
  })

  it('holds gradients and optimizer state of what trains alone', async () => {
    const { slots, parameters, shared } = await modes(tiny, kind)
    const { budget } = await gradientOf(tiny, slots, parameters)
    const trained = shared.reduce((sum, { out, rank }) => sum + rank * (kind === 'ffa' ? out : rank), 0)
    const frozen = shared.reduce((sum, { in: n, out, rank }) => sum + rank * (kind === 'ffa' ? n : n + out), 0)
    expect(budget).toMatchObject({ gradients: 4 * trained, optimizer: 8 * trained, parameters: 4 * (trained + frozen) })
  })

  it('scores and writes one token at a time as the same factors beside the base do', async () => {
    const { slots, parameters, lora } = await modes(tiny, kind)
    const logits = async (o: Pick<SessionOptions, 'slots' | 'overlay'>, values?: Float32Array) => {
      const session = new (native().Session)(tiny.weights, { ...size, ...o, training: false, cache: 16 })
      if (values) session.setParameters(values)
      const ids = batchFor(tiny).ids
      await session.prefill(ids.subarray(0, 3))
      const last = await session.next(ids[3]!)
      session.close()
      return last
    }
    const overlay = lora.map(
      ({ name, rank, scale, a, b }): OverlayLayer => ({ layer: name, rank, a, b: b.map((x) => x * scale) }),
    )
    expect(
      relativeError(await logits({ slots, overlay: [] }, parameters), await logits({ slots: [], overlay })),
    ).toBeLessThan(1e-5)
  })

  it.each<[string, (slot: Record<string, unknown>) => object[]]>([
    ['a longer A', (slot) => [{ ...slot, a: new Float32Array(5) }]],
    ['no A', ({ a: _, ...slot }) => [slot]],
    ['two slots', (slot) => [slot, slot]],
    ['LoRA on the same layer', (slot) => [slot, { ...slot, kind: 'lora' }]],
    ['another kind', (slot) => [{ ...slot, kind: 'lora_A' }]],
    ...(kind === 'ffa'
      ? []
      : [['no B', ({ b: _, ...slot }: Record<string, unknown>) => [slot]] as [string, () => object[]]]),
  ])('with %s is refused', async (_name, change) => {
    const { slots } = await modes(tiny, kind)
    const wrong = change(slots[0] as unknown as Record<string, unknown>) as Slot[]
    expect(() => new (native().Session)(tiny.weights, { ...size, overlay: [], slots: wrong })).toThrow(
      expect.objectContaining({ code: 'ARGUMENT' }),
    )
  })
})

describe('shared factors', () => {
  it('are orthonormal around a core, seeded, and differ by layer', async () => {
    const plan = await createPlan(tiny, { trainable: 'fed-sb', rank: 5, clients: ['a'], seed: 9 })
    const layers = sharedFactors(plan)
    expect(sharedFactors(plan)).toBe(layers)
    const again = sharedFactors(structuredClone(plan))
    for (const [i, { name, in: inDim, out, rank, a, b }] of layers.entries()) {
      expect(again[i]).toEqual(layers[i])
      const inner = (
        left: number,
        right: number,
        of: Float32Array,
        count: number,
        at: (k: number, i: number) => number,
      ) => {
        let sum = 0
        for (let n = 0; n < count; n++) sum += of[at(left, n)]! * of[at(right, n)]!
        return sum
      }
      for (let k = 0; k < rank; k++)
        for (let j = 0; j < rank; j++) {
          const unit = k === j ? 1 : 0
          expect(
            inner(k, j, a, inDim, (row, n) => row * inDim + n),
            name,
          ).toBeCloseTo(unit, 6)
          expect(
            inner(k, j, b, out, (column, n) => n * rank + column),
            name,
          ).toBeCloseTo(unit, 6)
        }
    }
    expect(layers[0]!.a).not.toEqual(layers[9]!.a)
    const other = sharedFactors({ ...plan, train: { ...plan.train, seed: 10 } })
    expect(other[0]!.a).not.toEqual(layers[0]!.a)
  })

  it('behind B are the A that LoRA starts from', async () => {
    const plan = await createPlan(tiny, { trainable: 'ffa', rank: 5, clients: ['a'], initA: 'gaussian' })
    expect(sharedFactors(plan)).toEqual(initialAdapter(plan.layers, plan.train.seed, 'gaussian').layers)
  })

  it.each([
    [0, 3],
    [3, 4],
    [3, 0],
  ])('of [%d, %d] are refused', (rows, cols) => {
    expect(() => native().orthonormal(0, 0, rows, cols)).toThrow(expect.objectContaining({ code: 'ARGUMENT' }))
  })
})
