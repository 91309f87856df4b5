import type { DecoderShape, TensorPlacement } from '../native/binding.js'

/** One linear layer that can be given an adapter: y = W x with W [out, in]. */
export interface LinearLayer {
  /** Hugging Face's module path, e.g. `model.layers.0.self_attn.q_proj` */
  name: string
  in: number
  out: number
}

/** A base model as data: what it computes and where its numbers lie. Nothing of its weights is in memory. */
export interface ModelSpec {
  architecture: 'llama'
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

/** What this version can open, for refusals. */
export const SUPPORTED_ARCHITECTURES = 'LlamaForCausalLM (config.json), llama (GGUF)'
export const SUPPORTED_TYPES = 'F32, F16, BF16, and in GGUF also Q4_1, Q8_0'
