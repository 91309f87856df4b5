import type { Plan } from '../../../src/update/plan.js'

/** A plan as createPlan would make it, for reports that need one. */
export function somePlan(clients: readonly string[]): Plan {
  return {
    version: 1,
    base: { id: 'tiny', sha256: 'a'.repeat(64), tokenizerSha256: 'b'.repeat(64) },
    layers: [{ name: 'model.layers.0.self_attn.q_proj', in: 8, out: 8, rank: 2, scale: 2 }],
    train: {
      trainable: {
        kind: 'lora',
        targets: ['q_proj'],
        rank: 2,
        alpha: 4,
        rankPattern: {},
        alphaPattern: {},
        rsLora: false,
        dropout: 0,
        initA: 'kaiming',
      },
      epochs: 3,
      batch: 8,
      accumulate: 1,
      learningRate: 3e-4,
      optimizer: 'adamw',
      schedule: 'cosine',
      warmup: 0.03,
      weightDecay: 0,
      clipNorm: 1,
      seed: 0,
      compute: 'auto',
    },
    data: { template: 'text', cutoff: 128, lossOn: 'all', heldOut: 0.2 },
    rounds: 1,
    start: 'carried',
    aggregate: { method: 'svd', rank: 'auto', weights: 'examples' },
    share: ['examples', 'tokens', 'losses'],
    clients: clients.map((name) => ({ name })),
  }
}
