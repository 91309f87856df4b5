/** Golden tensors from PyTorch beside ours. */
import type { Adapter } from '../../src/adapter/adapter.js'
import { floatsOf } from '../../src/adapter/floats.js'
import type { SafetensorsTensor } from '../../src/model/safetensors.js'
import type { Batch } from '../../src/native/binding/batch.js'

/** ||found - expected|| / ||expected||, in double. */
export function relativeError(found: Float32Array, expected: Float32Array): number {
  if (found.length !== expected.length) throw new Error(`${found.length} numbers beside ${expected.length}`)
  let difference = 0
  let norm = 0
  for (let i = 0; i < expected.length; i++) {
    const e = expected[i] as number
    difference += ((found[i] as number) - e) ** 2
    norm += e * e
  }
  return Math.sqrt(difference / norm)
}

/** A tensor of a golden file by name. */
export function golden(tensors: ReadonlyMap<string, SafetensorsTensor>, name: string): Float32Array {
  const tensor = tensors.get(name)
  if (tensor === undefined) throw new Error(`no golden tensor ${name}: ${[...tensors.keys()].slice(0, 5).join(', ')} …`)
  return floatsOf(tensor, name)
}

/** Cuts a flat buffer into the factors that it holds, named as PEFT names them. */
export function* factors(
  adapter: Pick<Adapter, 'layers'>,
  flat: Float32Array,
): Generator<[name: string, values: Float32Array]> {
  let at = 0
  for (const { name, rank, in: inDim, out } of adapter.layers) {
    const b = at + rank * inDim
    const end = b + out * rank
    yield [`base_model.model.${name}.lora_A.weight`, flat.subarray(at, b)]
    yield [`base_model.model.${name}.lora_B.weight`, flat.subarray(b, end)]
    at = end
  }
}

/**
 * Rows of token ids as one batch. `labels` are as Hugging Face takes them, not shifted: the target after ids[t] is
 * labels[t + 1]; the last position has none.
 */
export function batchOf(rows: readonly number[][], labels: readonly number[][] = rows): Batch {
  return {
    ids: Int32Array.from(rows.flat()),
    labels: Int32Array.from(labels.flatMap((row) => [...row.slice(1), -100])),
    lengths: Int32Array.from(rows, (row) => row.length),
    dropoutCounters: Uint32Array.from(rows, (_, i) => i),
  }
}
