/** A base's random twin: the same architecture, sizes and tokenizer, weights as before the first step of training. */

import { existsSync } from 'node:fs'
import { copyFile, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Model } from '../../model/open.js'
import { type SafetensorsTensor, serializeSafetensors } from '../../model/safetensors.js'
import { native } from '../../native/load.js'
import { writeAtomic } from '../../run/atomic.js'
import { bytesOf } from '../../update/digest.js'

/**
 * Normal weights of deviation 0.02, divided by sqrt(2 * layers) where a block writes to the residual stream (Radford et
 * al., GPT-2, 2019); vectors are ones. For decoders of Llama's kind.
 */
export async function writeTwin(base: Model, source: string, folder: string, seed = 0): Promise<void> {
  if (existsSync(join(folder, 'config.json'))) return
  await mkdir(folder, { recursive: true })
  const tensors = new Map<string, SafetensorsTensor>()
  for (const [stream, { name, shape }] of base.spec.tensors.entries()) {
    const count = shape.reduce((product, size) => product * size, 1)
    const deviation = /(o_proj|down_proj)\.weight$/.test(name) ? 0.02 / Math.sqrt(2 * base.spec.shape.layers) : 0.02
    const values =
      shape.length === 1
        ? new Float32Array(count).fill(1)
        : native()
            .random(seed, stream, count, 'normal')
            .map((value) => value * deviation)
    tensors.set(name, { dtype: 'F32', shape: [...shape], data: bytesOf(values) })
  }
  await writeAtomic(join(folder, 'model.safetensors'), serializeSafetensors(tensors, { format: 'pt' }))
  for (const name of ['tokenizer.json', 'tokenizer_config.json', 'config.json'])
    await copyFile(join(source, name), join(folder, name))
}
