/** A model as a Hugging Face folder: safetensors in one file or in shards with an index, config.json, tokenizer files. */
import { OneroundError } from '../errors.js'
import { expectedTensors } from './modules.js'
import type { OutputFile, OutputModel, OutputTensor, OutputType } from './output.js'
import { layOutSafetensors } from './safetensors-layout.js'
import type { ModelSpec } from './spec.js'
import { elementCount, storageBytes } from './storage.js'
import { INDEX, WHOLE } from './weight-files.js'

/** Most bytes of tensors in one file; what transformers takes. */
const SHARD_BYTES = 5e9

interface Placed {
  name: string
  shape: number[]
  rows: number
  cols: number
  transposed: boolean
}

/**
 * @param transposed linear weights lie as [in, out] in this architecture's files
 * @param beside config.json last, so that a folder without it is no model
 */
export function huggingFaceOutput(
  spec: ModelSpec,
  type: OutputType,
  transposed: boolean,
  beside: { texts: OutputModel['texts']; notes: string[] },
  shardBytes: number = SHARD_BYTES,
): OutputModel {
  if (type === 'Q8_0') {
    throw new OneroundError('UNSUPPORTED', 'A Hugging Face folder does not hold Q8_0.', {
      found: type,
      expected: 'F32, F16 or BF16',
      fix: 'Choose one of these types, or --to gguf.',
    })
  }
  const shards = shardsOf(placedTensors(spec, transposed), type, shardBytes)
  const files = shards.map((shard, index) => fileOf(shard, type, nameOf(index, shards.length)))
  if (files.length === 1) return { files, ...beside }
  return { files, notes: beside.notes, texts: [[INDEX, indexOf(files, shards, type)], ...beside.texts] }
}

function* placedTensors(spec: ModelSpec, transposed: boolean): Generator<Placed> {
  for (const { name, dims, linear } of expectedTensors(spec.shape)) {
    const turned = transposed && linear !== undefined
    const shape = turned ? [...dims].reverse() : dims
    const cols = shape.at(-1) ?? 0
    yield { name, shape, rows: elementCount(shape) / cols, cols, transposed: turned }
  }
}

function shardsOf(tensors: Iterable<Placed>, type: OutputType, limit: number): Placed[][] {
  const shards: Placed[][] = []
  let room = 0
  for (const tensor of tensors) {
    const bytes = storageBytes(type, tensor.shape)
    if (shards.length === 0 || bytes > room) {
      shards.push([])
      room = limit
    }
    shards.at(-1)?.push(tensor)
    room -= bytes
  }
  return shards
}

function nameOf(index: number, count: number): string {
  const number = (n: number): string => String(n).padStart(5, '0')
  return count === 1 ? WHOLE : `model-${number(index + 1)}-of-${number(count)}.safetensors`
}

function fileOf(shard: readonly Placed[], type: OutputType, name: string): OutputFile {
  const described = new Map(shard.map((tensor) => [tensor.name, { dtype: type, shape: tensor.shape }]))
  const { header, offsets, bytes } = layOutSafetensors(described, { format: 'pt' })
  const tensors = shard.map(
    ({ name: tensor, rows, cols, transposed }): OutputTensor => ({
      name: tensor,
      type,
      offset: offsets.get(tensor) ?? 0,
      rows,
      cols,
      transposed,
      interleavedHeads: 0,
    }),
  )
  return { name, header, bytes, tensors, others: [] }
}

function indexOf(files: readonly OutputFile[], shards: readonly Placed[][], type: OutputType): string {
  const pairs = files.flatMap((file) => file.tensors.map((tensor) => [tensor.name, file.name] as const))
  const total = shards.flat().reduce((sum, { shape }) => sum + storageBytes(type, shape), 0)
  const index = { metadata: { total_size: total }, weight_map: Object.fromEntries(pairs) }
  return `${JSON.stringify(index, undefined, 2)}\n`
}
