import { OneroundError } from '../errors.js'
import type { DecoderShape } from '../native/binding/decoder.js'
import type { TensorPlacement } from '../native/binding/weights.js'
import type { Architecture } from './architectures.js'
import { type ExpectedTensor, expectedTensors } from './modules.js'
import type { Settings } from './settings.js'
import { type LinearLayer, type ModelSpec, SUPPORTED_TYPES } from './spec.js'
import { blockElements, elementCount, isStorageType, storageBytes } from './storage.js'

/** A tensor as one of the two readers found it, already under Hugging Face's name. */
export interface FoundTensor {
  /** the file's own name of it, for errors */
  ownName: string
  file: number
  offset: number
  type: string
  /** as stored */
  shape: number[]
}

interface FoundModel {
  /** what errors call the model */
  source: string
  architecture: Architecture
  shape: DecoderShape
  maxPositions: number
  files: string[]
  tensors: ReadonlyMap<string, FoundTensor>
  /** linear weights lie as [in, out] */
  transposed: boolean
  /** rows of q and k lie in llama.cpp's order */
  interleaved: boolean
  bosToken: number | undefined
  eosToken: number | undefined
}

/** Sizes that no decoder comes near; they bound what is computed from a hostile file. */
export const LIMITS = {
  vocabulary: 1 << 24,
  hidden: 1 << 20,
  layers: 4096,
  heads: 1 << 14,
  headDim: 1 << 12,
  intermediate: 1 << 22,
  positions: 2 ** 31,
  learnedPositions: 1 << 24,
} as const

/** Rules between the numbers of a decoder that no single one shows. */
export function checkShape(shape: DecoderShape, settings: Settings): void {
  if (shape.heads % shape.kvHeads !== 0) {
    throw settings.fault('the number of key-value heads', shape.kvHeads, `a divisor of the ${shape.heads} heads`)
  }
  if (shape.headDim % 2 !== 0) throw settings.fault('the head dimension', shape.headDim, 'an even number')
  if (shape.fusedAttention && shape.heads !== shape.kvHeads) {
    throw settings.fault('the number of key-value heads', shape.kvHeads, `as many as heads, ${shape.heads}`)
  }
}

/** Builds the spec: every expected tensor must be there with its shape and a known type, and no other may be. */
export function decoderSpec(found: FoundModel): ModelSpec {
  const { architecture, shape, files, maxPositions } = found
  const placements: TensorPlacement[] = []
  const linearLayers: LinearLayer[] = []
  const seen = new Set<string>()
  let parameters = 0
  let bytes = 0
  for (const expected of expectedTensors(shape)) {
    const placement = place(found, expected)
    seen.add(expected.name)
    placements.push(placement)
    if (expected.linear !== undefined) linearLayers.push(expected.linear)
    parameters += elementCount(placement.shape)
    bytes += storageBytes(placement.type, placement.shape)
  }
  for (const [name, { ownName }] of found.tensors) if (!seen.has(name)) refuseExtra(found, ownName)
  return {
    architecture: architecture.name,
    shape,
    maxPositions,
    files,
    tensors: placements,
    linearLayers,
    parameters,
    ...(found.bosToken === undefined ? {} : { bosToken: found.bosToken }),
    ...(found.eosToken === undefined ? {} : { eosToken: found.eosToken }),
    bytes,
  }
}

function place(found: FoundModel, expected: ExpectedTensor): TensorPlacement {
  const { source } = found
  const { name } = expected
  const transposed = found.transposed && expected.linear !== undefined
  const shape = transposed ? [...expected.dims].reverse() : expected.dims
  const tensor = found.tensors.get(name)
  if (tensor === undefined) {
    throw new OneroundError('NOT_FOUND', `${source} lacks the tensor ${name}`, {
      found: `${found.tensors.size} tensors without it`,
      expected: `${name} [${shape}]`,
      fix: 'Download the model again, or correct its settings if they name layers that it does not have.',
    })
  }
  const { ownName, type, file, offset } = tensor
  if (tensor.shape.length !== shape.length || tensor.shape.some((n, i) => n !== shape[i])) {
    throw misfit(source, ownName, `[${tensor.shape}]`, `[${shape}]`)
  }
  if (!isStorageType(type)) {
    throw new OneroundError('UNSUPPORTED', `${source}: ${ownName} is stored as ${type}`, {
      found: type,
      expected: SUPPORTED_TYPES,
      fix: 'Use a file of this model in one of these types.',
    })
  }
  const row = shape[shape.length - 1] ?? 0
  if (row % blockElements(type) !== 0) {
    throw misfit(source, ownName, `rows of ${row} as ${type}`, `whole blocks of ${blockElements(type)}`)
  }
  return { name, file, offset, type, shape, interleavedHeads: found.interleaved ? expected.heads : 0, transposed }
}

function misfit(source: string, ownName: string, found: string, expected: string): OneroundError {
  const fix = 'Use weights and settings that belong together.'
  return new OneroundError('MALFORMED', `${source}: ${ownName} does not fit the model's settings`, {
    found,
    expected,
    fix,
  })
}

function refuseExtra({ source, architecture }: FoundModel, ownName: string): never {
  const { name } = architecture
  throw new OneroundError(
    'UNSUPPORTED',
    `${source} has a tensor that a plain ${name} model does not have: ${ownName}`,
    {
      found: ownName,
      expected: `the tensors of a ${name} decoder and no others`,
      fix: `Use a base model of the plain ${name} architecture.`,
    },
  )
}
