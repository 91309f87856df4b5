// Seeded updates of the size of SmolLM2-135M's: rank 8 on all linear layers, 9.8 MB each. What is summed does not
// matter to a speed, only how much; the numbers are as large as trained ones.
import { makeAdapter } from '../dist/adapter/adapter.js'
import { native } from '../dist/native/load.js'
import { parsePlan, planSha256 } from '../dist/update/plan.js'
import { makeUpdate } from '../dist/update/update.js'

const kinds = [
  ['self_attn.q_proj', 576, 576],
  ['self_attn.k_proj', 576, 192],
  ['self_attn.v_proj', 576, 192],
  ['self_attn.o_proj', 576, 576],
  ['mlp.gate_proj', 576, 1536],
  ['mlp.up_proj', 576, 1536],
  ['mlp.down_proj', 1536, 576],
]

/** A plan of `blocks` of SmolLM2's 30 blocks. */
export function smolPlan(blocks, rank = 8, method = 'svd') {
  const layers = Array.from({ length: blocks }, (_, block) =>
    kinds.map(([name, input, out]) => ({ name: `model.layers.${block}.${name}`, in: input, out, rank, scale: 2 })),
  ).flat()
  return parsePlan({
    version: 1,
    base: { id: 'synthetic', sha256: '0'.repeat(64), tokenizerSha256: '0'.repeat(64) },
    layers,
    train: {
      trainable: { kind: 'lora', targets: 'all-linear', rank, alpha: 2 * rank },
      epochs: 1,
      batch: 1,
      accumulate: 1,
      learningRate: 1e-3,
      optimizer: 'adamw',
      schedule: 'constant',
      warmup: 0,
      weightDecay: 0,
      clipNorm: 0,
      seed: 0,
      compute: 'f32',
    },
    data: { template: 'text', cutoff: 16, lossOn: 'all', heldOut: 0 },
    rounds: 1,
    aggregate: { method, rank: 'auto', weights: 'examples' },
    share: ['examples'],
    clients: [],
  })
}

/** Client number `index`: one seeded stream, cut into layers. */
export function smolUpdate(plan, index) {
  const count = plan.layers.reduce((sum, layer) => sum + layer.rank * (layer.in + layer.out), 0)
  const values = native().random(7, index, count, 'normal')
  let at = 0
  const take = (length, size) => {
    const part = values.slice(at, at + length).map((value) => value * size)
    at += length
    return part
  }
  const layers = plan.layers.map((layer) => ({
    ...layer,
    a: take(layer.rank * layer.in, 0.02),
    b: take(layer.out * layer.rank, 0.002),
  }))
  const client = `client-${String(index).padStart(5, '0')}`
  const info = { client, planSha256: planSha256(plan), round: 1, startSha256: 'a'.repeat(64), examples: 10 + index }
  return makeUpdate(info, makeAdapter(layers))
}
