/** The cases of shared/golden/tiny: what transformers and PEFT computed in f32 from random models. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { loadPeft } from '../../src/adapter/peft.js'
import { type Model, openModel } from '../../src/model/open.js'
import { readSafetensors } from '../../src/model/safetensors.js'
import type { NativeWeights } from '../../src/native/binding/weights.js'
import { native } from '../../src/native/load.js'
import { flatten, overlayOf } from '../../src/train/slots.js'
import { toBfloat16 } from '../../src/train/write-full.js'
import { batchOf, factors, golden, relativeError } from './compare.js'
import { sharedFile, skipReason } from './shared-files.js'

interface Case {
  input_ids: number[][]
  labels: number[][]
  loss: number
}

const cases = [
  ...['llama', 'llama_tied_bf16', 'llama3_rope', 'llama_rslora_q_v'],
  ...['mistral_sliding', 'qwen2', 'qwen3', 'gpt2'],
]
/** of each tensor's norm */
const tolerance = 1e-4

/**
 * The reference of this case went through `model.bfloat16().float()`, which also rounds the rotary frequencies, a
 * buffer, to bf16. A model loaded from its file has them in f32, as we do: only for this comparison they are rounded.
 */
function weightsOf(base: Model, name: string): NativeWeights {
  if (name !== 'llama_tied_bf16') return base.weights
  const { shape, files, tensors } = base.spec
  const words = Uint32Array.from(toBfloat16(Float32Array.from(shape.inverseFrequencies)), (half) => half << 16)
  const inverseFrequencies = Float64Array.from(new Float32Array(words.buffer))
  return new (native().Weights)({ ...shape, inverseFrequencies }, files, tensors)
}

const reason = skipReason('golden/tiny')
describe.skipIf(reason !== undefined).each(cases)('golden tiny %s', (name) => {
  const folder = join(sharedFile('golden/tiny') ?? '', name)
  const read = async () => {
    const known = JSON.parse(readFileSync(join(folder, 'case.json'), 'utf8')) as Case
    const { tensors } = await readSafetensors(join(folder, 'tensors.safetensors'))
    const adapter = await loadPeft(join(folder, 'adapter'))
    return { known, tensors, adapter, batch: batchOf(known.input_ids, known.labels) }
  }
  const shape = { threads: 2, rowsPerPass: 64, longestExample: 32 }

  it('gives the logits, the loss and every gradient', async () => {
    await using base = await openModel(join(folder, 'model'))
    const { known, tensors, adapter, batch } = await read()
    const slots = adapter.layers.map((layer) => ({
      kind: 'lora' as const,
      layer: layer.name,
      rank: layer.rank,
      scale: layer.scale,
      dropout: 0,
    }))
    const session = new (native().Session)(weightsOf(base, name), { ...shape, slots, overlay: [], training: true })
    try {
      session.setParameters(flatten(adapter.layers))
      expect(relativeError(await session.logits(batch), golden(tensors, 'logits'))).toBeLessThan(tolerance)
      const { loss, gradient } = await session.gradient(batch, 0)
      expect(Math.abs(loss - known.loss) / known.loss).toBeLessThan(tolerance)
      for (const [tensor, values] of factors(adapter, gradient)) {
        expect(relativeError(values, golden(tensors, `grad.${tensor}`)), tensor).toBeLessThan(tolerance)
      }
    } finally {
      session.close()
    }
  })

  it('gives the same logits from the adapter as an overlay, and others without it', async () => {
    await using base = await openModel(join(folder, 'model'))
    const { tensors, adapter, batch } = await read()
    const logits = async (overlay: ReturnType<typeof overlayOf>) => {
      const session = new (native().Session)(weightsOf(base, name), { ...shape, slots: [], overlay, training: false })
      try {
        return await session.logits(batch)
      } finally {
        session.close()
      }
    }
    expect(relativeError(await logits(overlayOf(adapter)), golden(tensors, 'logits'))).toBeLessThan(tolerance)
    expect(relativeError(await logits([]), golden(tensors, 'logits'))).toBeGreaterThan(0.01)
  })
})
