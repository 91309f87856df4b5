import { OneroundError } from '../errors.js'
import type { DecoderShape, TensorPlacement } from '../native/binding.js'
import type { Settings } from './settings.js'
import { type LinearLayer, type ModelSpec, SUPPORTED_TYPES } from './spec.js'
import { elementCount, isStorageType, storageBytes } from './storage.js'

/** A tensor as one of the two readers found it, already under Hugging Face's name and with its shape. */
export interface FoundTensor {
  /** the file's own name of it, for errors */
  ownName: string
  file: number
  offset: number
  type: string
  shape: number[]
  interleavedHeads: number
}

export interface FoundModel {
  /** what errors call the model */
  source: string
  shape: DecoderShape
  maxPositions: number
  files: string[]
  tensors: ReadonlyMap<string, FoundTensor>
  bosToken: number | undefined
  eosToken: number | undefined
}

/** Sizes that no Llama comes near; they bound what is computed from a hostile file. */
export const LIMITS = {
  vocabulary: 1 << 24,
  hidden: 1 << 20,
  layers: 4096,
  heads: 1 << 14,
  headDim: 1 << 12,
  intermediate: 1 << 22,
  positions: 2 ** 31,
} as const

/** Rules between the numbers of a decoder that no single one shows. */
export function checkShape(shape: DecoderShape, settings: Settings): void {
  if (shape.heads % shape.kvHeads !== 0) {
    throw settings.fault('the number of key-value heads', shape.kvHeads, `a divisor of the ${shape.heads} heads`)
  }
  if (shape.headDim % 2 !== 0) throw settings.fault('the head dimension', shape.headDim, 'an even number')
}

/** Builds the spec: every expected tensor must be there with its shape and a known type, and no other may be. */
export function llamaSpec(found: FoundModel): ModelSpec {
  const { shape, files, maxPositions } = found
  const placements: TensorPlacement[] = []
  const seen = new Set<string>()
  let parameters = 0
  let bytes = 0
  for (const { name, dims } of expectedTensors(shape)) {
    const placement = place(found, name, dims)
    seen.add(name)
    placements.push(placement)
    parameters += elementCount(dims)
    bytes += storageBytes(placement.type, dims)
  }
  for (const [name, { ownName }] of found.tensors) if (!seen.has(name)) refuseExtra(found.source, ownName)
  return {
    architecture: 'llama',
    shape,
    maxPositions,
    files,
    tensors: placements,
    linearLayers: [...linearLayers(shape)],
    parameters,
    ...(found.bosToken === undefined ? {} : { bosToken: found.bosToken }),
    ...(found.eosToken === undefined ? {} : { eosToken: found.eosToken }),
    bytes,
  }
}

function place(found: FoundModel, name: string, dims: number[]): TensorPlacement {
  const tensor = found.tensors.get(name)
  if (tensor === undefined) {
    throw new OneroundError('NOT_FOUND', `${found.source} lacks the tensor ${name}`, {
      found: `${found.tensors.size} tensors without it`,
      expected: `${name} [${dims}]`,
      fix: 'Download the model again, or correct its settings if they name layers that it does not have.',
    })
  }
  if (tensor.shape.length !== dims.length || tensor.shape.some((n, i) => n !== dims[i])) {
    throw new OneroundError('MALFORMED', `${found.source}: ${tensor.ownName} does not fit the model's settings`, {
      found: `[${tensor.shape}]`,
      expected: `[${dims}]`,
      fix: 'Use weights and settings that belong together.',
    })
  }
  if (!isStorageType(tensor.type)) {
    throw new OneroundError('UNSUPPORTED', `${found.source}: ${tensor.ownName} is stored as ${tensor.type}`, {
      found: tensor.type,
      expected: SUPPORTED_TYPES,
      fix: 'Use a file of this model in one of these types.',
    })
  }
  const { file, offset, type, interleavedHeads } = tensor
  return { name, file, offset, type, shape: dims, interleavedHeads }
}

function refuseExtra(source: string, ownName: string): never {
  const bias = ownName.endsWith('.bias')
  throw new OneroundError('UNSUPPORTED', `${source} has a tensor that a plain Llama does not have: ${ownName}`, {
    found: ownName,
    expected: bias ? 'linear layers without bias' : 'the tensors of a Llama decoder and no others',
    fix: 'Use a base model of the plain Llama architecture.',
  })
}

function* expectedTensors(shape: DecoderShape): Generator<{ name: string; dims: number[] }> {
  yield { name: 'model.embed_tokens.weight', dims: [shape.vocabulary, shape.hidden] }
  for (let layer = 0; layer < shape.layers; layer++) {
    const block = `model.layers.${layer}`
    yield { name: `${block}.input_layernorm.weight`, dims: [shape.hidden] }
    for (const linear of blockLinears(shape, layer))
      yield { name: `${linear.name}.weight`, dims: [linear.out, linear.in] }
    yield { name: `${block}.post_attention_layernorm.weight`, dims: [shape.hidden] }
  }
  yield { name: 'model.norm.weight', dims: [shape.hidden] }
  if (!shape.tied) yield { name: 'lm_head.weight', dims: [shape.vocabulary, shape.hidden] }
}

function* linearLayers(shape: DecoderShape): Generator<LinearLayer> {
  for (let layer = 0; layer < shape.layers; layer++) yield* blockLinears(shape, layer)
}

function blockLinears(shape: DecoderShape, layer: number): LinearLayer[] {
  const { hidden, intermediate } = shape
  const query = shape.heads * shape.headDim
  const key = shape.kvHeads * shape.headDim
  const block = `model.layers.${layer}`
  return [
    { name: `${block}.self_attn.q_proj`, in: hidden, out: query },
    { name: `${block}.self_attn.k_proj`, in: hidden, out: key },
    { name: `${block}.self_attn.v_proj`, in: hidden, out: key },
    { name: `${block}.self_attn.o_proj`, in: query, out: hidden },
    { name: `${block}.mlp.gate_proj`, in: hidden, out: intermediate },
    { name: `${block}.mlp.up_proj`, in: hidden, out: intermediate },
    { name: `${block}.mlp.down_proj`, in: intermediate, out: hidden },
  ]
}
