import { OneroundError } from '../errors.js'
import { type SafetensorsTensor, serializeSafetensors } from '../model/safetensors.js'
import type { ModelSpec } from '../model/spec.js'
import { writeSealed } from '../run/atomic.js'

/** f32 -> bf16 by rounding to the nearest, ties to even; a NaN stays one. */
export function toBfloat16(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length)
  const out = new Uint16Array(values.length)
  for (let i = 0; i < bits.length; i++) {
    const word = bits[i] ?? 0
    const notNumber = (word & 0x7fffffff) > 0x7f800000
    out[i] = notNumber ? (word >>> 16) | 0x40 : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16
  }
  return out
}

/**
 * Writes flat parameters (in the order of spec.tensors) as a Hugging Face folder: model.safetensors in bf16 and
 * config.json, which is given as it shall stand there. Tokenizer files are the caller's. config.json is placed last:
 * a folder without it is no model.
 */
export async function writeFullModel(
  folder: string,
  spec: ModelSpec,
  parameters: Float32Array,
  config: object,
): Promise<void> {
  const tensors = new Map<string, SafetensorsTensor>()
  let at = 0
  for (const { name, shape } of spec.tensors) {
    const count = shape.reduce((product, size) => product * size, 1)
    const half = toBfloat16(parameters.subarray(at, at + count))
    tensors.set(name, { dtype: 'BF16', shape: [...shape], data: new Uint8Array(half.buffer) })
    at += count
  }
  if (at !== parameters.length) {
    throw new OneroundError('MISMATCH', 'These parameters are not those of the model.', {
      found: `${parameters.length} numbers`,
      expected: `${at}`,
      fix: 'Give the parameters that trainFull returned for this base.',
    })
  }
  await writeSealed(folder, [
    ['model.safetensors', serializeSafetensors(tensors, { format: 'pt' })],
    ['config.json', `${JSON.stringify({ ...config, torch_dtype: 'bfloat16' }, undefined, 2)}\n`],
  ])
}
