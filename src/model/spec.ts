import type { DecoderShape } from '../native/binding/decoder.js'
import type { TensorPlacement } from '../native/binding/weights.js'
import type { ArchitectureName } from './architectures.js'

/** One linear layer that can be given an adapter: y = W x with W [out, in]. */
export interface LinearLayer {
  /** Hugging Face's module path, e.g. `model.layers.0.self_attn.q_proj` */
  name: string
  in: number
  out: number
}

/** A base model as data: what it computes and where its numbers lie. Nothing of its weights is in memory. */
export interface ModelSpec {
  architecture: ArchitectureName
  shape: DecoderShape
  /** longest sequence that the model was made for, in tokens */
  maxPositions: number
  /** paths of the weight files, indexed by TensorPlacement.file */
  files: string[]
  tensors: TensorPlacement[]
  /** all linear layers of the decoder blocks, in the order of the forward pass; the output head is not among them */
  linearLayers: LinearLayer[]
  /** a tied output head counts once */
  parameters: number
  bosToken?: number
  eosToken?: number
  /** bytes of all tensors in their files */
  bytes: number
}

/** For refusals. */
export const SUPPORTED_TYPES = 'F32, F16, BF16, and in GGUF also Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K to Q6_K'
