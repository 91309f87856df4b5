/** A model as one GGUF file: metadata, tensor order and types. Sources: ggml's docs/gguf.md, llama.cpp's conversion scripts. */
import { OneroundError } from '../errors.js'
import type { GgufFile } from './gguf.js'
import { ROPE_FACTORS } from './gguf-rope.js'
import { type GgufEntry, layOutGguf } from './gguf-write.js'
import { expectedTensors } from './modules.js'
import type { OutputModel, OutputTensor, OutputType } from './output.js'
import type { ModelSpec } from './spec.js'
import { blockElements, elementCount } from './storage.js'

/** llama.cpp's number of a file's main type (enum llama_ftype). */
const FILE_TYPES: Readonly<Record<OutputType, number>> = { F32: 0, F16: 1, Q8_0: 7, BF16: 32 }
const TYPE_KEYS = ['general.file_type', 'general.quantization_version', 'general.alignment']

interface GgufSource {
  /** everything but the file's type */
  entries: readonly GgufEntry[]
  /** one divisor a rotary frequency, where the rope is stretched so */
  ropeFactors?: Float32Array
  notes: string[]
  /** q and k are written in llama.cpp's order */
  interleaved: boolean
}

/** The metadata of a GGUF file as it stands there, without what says how weights are stored. */
export function entriesOfGguf({ raw }: Pick<GgufFile, 'raw'>): GgufEntry[] {
  return [...(raw ?? [])].filter(([key]) => !TYPE_KEYS.includes(key)).map(([key, bytes]) => [key, 'raw', bytes])
}

/**
 * Matrices are stored as `type`, vectors and learned positions as F32, as llama.cpp's own files have it.
 * @throws OneroundError UNSUPPORTED where rows are no whole blocks of the type
 */
export function ggufOutput(spec: ModelSpec, type: OutputType, name: string, source: GgufSource): OutputModel {
  const tensors = [...expectedTensors(spec.shape)].map((tensor) => {
    const cols = tensor.dims.at(-1) ?? 0
    const plain = tensor.dims.length === 1 || tensor.ggufName.startsWith('position_embd.')
    const own: OutputType = plain ? 'F32' : type
    if (cols % blockElements(own) !== 0) throw noBlocks(tensor.name, cols, own)
    return { ...tensor, cols, type: own }
  })
  const described = tensors.map(({ ggufName, type: own, dims }) => ({
    name: ggufName,
    type: own as string,
    shape: dims,
  }))
  const factors = source.ropeFactors
  if (factors !== undefined) described.push({ name: ROPE_FACTORS, type: 'F32', shape: [factors.length] })
  const entries: GgufEntry[] = [...source.entries, ['general.file_type', 'u32', FILE_TYPES[type]]]
  if (type === 'Q8_0') entries.push(['general.quantization_version', 'u32', 2])
  const { header, offsets, bytes } = layOutGguf(entries, described)
  const offset = (tensor: string): number => offsets.get(tensor) ?? 0
  const written = tensors.map(
    (tensor): OutputTensor => ({
      name: tensor.name,
      type: tensor.type,
      offset: offset(tensor.ggufName),
      rows: elementCount(tensor.dims) / tensor.cols,
      cols: tensor.cols,
      transposed: false,
      interleavedHeads: source.interleaved ? tensor.heads : 0,
    }),
  )
  const others =
    factors === undefined ? [] : [{ offset: offset(ROPE_FACTORS), data: new Uint8Array(factors.slice().buffer) }]
  return { files: [{ name, header, bytes, tensors: written, others }], texts: [], notes: source.notes }
}

function noBlocks(tensor: string, cols: number, type: OutputType): OneroundError {
  return new OneroundError('UNSUPPORTED', `${tensor} cannot be stored as ${type}.`, {
    found: `rows of ${cols} numbers`,
    expected: `whole blocks of ${blockElements(type)}`,
    fix: 'Choose F32, F16 or BF16.',
  })
}
