/**
 * A decoder in numbers: Llama, Mistral (window), Qwen2 (qkvBias), Qwen3 (queryKeyNorm) and GPT-2 (the rest) are values of it.
 */
export interface DecoderShape {
  vocabulary: number
  hidden: number
  layers: number
  heads: number
  kvHeads: number
  headDim: number
  intermediate: number
  normEpsilon: number
  /** the output head is the embedding */
  tied: boolean
  /** rotary inverse frequencies, [headDim / 2], with any rope scaling in them; unused with learned positions */
  inverseFrequencies: Float64Array
  /** where the parts are: Hugging Face's module names of Llama (also Mistral's, Qwen2's and Qwen3's) or of GPT-2 */
  names: 'llama' | 'gpt2'
  /** LayerNorm with biases instead of RMSNorm */
  layerNorm: boolean
  /** one GELU (tanh form) layer instead of SwiGLU with a gate */
  gelu: boolean
  /** one layer `c_attn` makes q, k and v, in that order */
  fusedAttention: boolean
  /** biases of q, k and v (or of the fused layer) */
  qkvBias: boolean
  /** biases of o and the feed-forward layers */
  otherBias: boolean
  /** RMSNorm over each head of q and of k, before the rotation */
  queryKeyNorm: boolean
  /** keys that a query sees, itself included; 0: all before it */
  window: number
  /** rows of the table of learned positions; 0: rotary */
  learnedPositions: number
}
