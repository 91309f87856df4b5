// Everything that makes the embedded base what it is, besides the addresses and the engine.
import { END_OF_TEXT, VOCABULARY } from './prepare.mjs'

export const SEED = 0

/** Hugging Face's config.json: a Llama decoder of 5.5 million parameters. */
export const CONFIG = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  vocab_size: VOCABULARY,
  hidden_size: 256,
  intermediate_size: 704,
  num_hidden_layers: 6,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 64,
  hidden_act: 'silu',
  max_position_embeddings: 512,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  rope_scaling: null,
  attention_bias: false,
  mlp_bias: false,
  tie_word_embeddings: true,
  bos_token_id: 0,
  eos_token_id: 0,
}

/** One step reads `batch` windows of `window` tokens. */
export const TRAINING = {
  window: 256,
  batch: 8,
  epochs: 4,
  schedule: 'cosine',
  learningRate: 2e-3,
  warmup: 0.03,
  weightDecay: 0.1,
  beta2: 0.95,
  clipNorm: 1,
  /** steps between two looks at the held-out addresses */
  judgeEvery: 200,
}

export { END_OF_TEXT }
