/** A session that measures its operations trains as one that does not. */
import { expect, it } from 'vitest'
import { native } from '../../../src/native/load.js'
import { adamw } from '../../../src/train/optimizer.js'
import { tinyModel } from './tiny-model.js'

const tiny = tinyModel()

const batch = {
  ids: Int32Array.of(1, 2, 3, 4),
  labels: Int32Array.of(2, 3, 4, 5),
  lengths: Int32Array.of(4),
  dropoutCounters: Uint32Array.of(0),
}

it.each(native().cpu().isa === 'avx512bf16' ? (['f32', 'bf16'] as const) : (['f32'] as const))(
  'in %s, with calls, seconds and bytes of every operation',
  async (compute) => {
    const parametersAfter = async (profile: boolean) => {
      const session = new (native().Session)(tiny.base.weights, {
        slots: [{ kind: 'lora', layer: 'model.layers.0.mlp.down_proj', rank: 3, scale: 1.5, dropout: 0 }],
        ...{ overlay: [], threads: 1, rowsPerPass: 32, longestExample: 8, training: true, compute, profile },
      })
      session.setParameters(native().random(5, 1, session.parameterCount, 'normal'))
      await session.step(batch, { ...adamw, learningRate: 0.01, weightDecay: 0, clipNorm: 0, seed: 0 })
      const operations = profile ? session.profile() : []
      const parameters = session.parameters()
      session.close()
      return { operations, parameters }
    }
    const measured = await parametersAfter(true)
    expect(measured.parameters).toEqual((await parametersAfter(false)).parameters)
    const named = new Map(measured.operations.map((operation) => [operation.operation, operation]))
    for (const name of ['embed', 'linear_parts', 'attention_backward', 'cross_entropy', 'adamw', ...KEPT[compute]]) {
      expect(named.get(name)?.calls, name).toBeGreaterThan(0)
      expect(named.get(name)?.seconds, name).toBeGreaterThanOrEqual(0)
    }
    expect(named.get('linear_parts')?.flop).toBeGreaterThan(0)
  },
)

/** What only bf16 does: activations kept in 16 bits, and taken back. */
const KEPT = {
  f32: [],
  bf16: ['keep_rounded', 'take_kept', 'swiglu_keep', 'swiglu_kept', 'swiglu_kept_backward'],
} as const
