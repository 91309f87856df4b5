import { type Adapter, makeAdapter } from '../../../src/adapter/adapter.js'
import { resolveLayers } from '../../../src/update/layers.js'
import { parsePlan, planSha256 } from '../../../src/update/plan.js'
import type { Plan } from '../../../src/update/plan-schema.js'
import { makeUpdate, type Update, type UpdateInfo } from '../../../src/update/update.js'

export const LINEAR = ['q_proj', 'v_proj', 'up_proj'].flatMap((name) =>
  [0, 1].map((i) => ({ name: `model.layers.${i}.x.${name}`, in: 6, out: name === 'up_proj' ? 10 : 4 })),
)

/** A plan as its JSON; `change` edits it before it is returned. */
export function planJson(change: (json: Record<string, never>) => void = () => {}): Record<string, unknown> {
  const trainable = {
    kind: 'lora' as const,
    targets: 'all-linear' as const,
    rank: 3,
    alpha: 6,
    rankPattern: { 'layers.0.x.q_proj': 2 },
    alphaPattern: {},
    rsLora: false,
    dropout: 0,
    initA: 'kaiming' as const,
  }
  const json = {
    version: 1,
    base: { id: 'tiny', sha256: 'a'.repeat(64), tokenizerSha256: 'b'.repeat(64) },
    layers: resolveLayers(LINEAR, trainable),
    train: {
      trainable,
      epochs: 1,
      batch: 2,
      accumulate: 1,
      learningRate: 1e-3,
      optimizer: 'adamw',
      schedule: 'cosine',
      warmup: 0,
      weightDecay: 0,
      clipNorm: 1,
      seed: 7,
      compute: 'f32',
    },
    data: { template: 'text', cutoff: 64, lossOn: 'all', heldOut: 0.2 },
    rounds: 2,
    start: 'carried',
    aggregate: { method: 'svd', rank: 'auto', weights: 'examples' },
    share: ['examples', 'tokens', 'losses'],
    clients: [{ name: 'a' }, { name: 'b' }],
  }
  const copy = structuredClone(json) as unknown as Record<string, never>
  change(copy)
  return copy
}

export const plan: Plan = parsePlan(planJson())
export const START = 'c'.repeat(64)

/** Deterministic numbers in [-0.5, 0.5). Source of the generator: Marsaglia, xorshift32. */
export function generator(seed: number): () => number {
  let x = seed | 1
  return () => {
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    return (x >>> 0) / 2 ** 32 - 0.5
  }
}

export function adapterOf(of: Plan = plan, seed = 1): Adapter {
  const next = generator(seed)
  return makeAdapter(
    of.layers.map((layer) => ({
      ...layer,
      a: Float32Array.from({ length: layer.rank * layer.in }, next),
      b: Float32Array.from({ length: layer.out * layer.rank }, next),
    })),
  )
}

export function updateOf(info: Partial<UpdateInfo> = {}, adapter: Adapter = adapterOf()): Update {
  return makeUpdate(
    {
      client: 'a',
      planSha256: planSha256(plan),
      round: 1,
      startSha256: START,
      examples: 12,
      tokens: 345,
      lossBefore: 2.5,
      lossAfter: 0.1 + 0.2,
      ...info,
    },
    adapter,
  )
}
