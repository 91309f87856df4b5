// The base before its first step: a Hugging Face folder with seeded random weights in F32.
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { serializeSafetensors } from '../../dist/model/safetensors.js'
import { native } from '../../dist/native/load.js'

/** Names and shapes of a tied Llama decoder. */
function tensorShapes(/** @type {typeof import('./settings.mjs').CONFIG} */ config) {
  const { hidden_size: hidden, intermediate_size: inner, head_dim: dim } = config
  const queries = config.num_attention_heads * dim
  const keys = config.num_key_value_heads * dim
  /** @type {[string, number[]][]} */
  const shapes = [
    ['model.embed_tokens.weight', [config.vocab_size, hidden]],
    ['model.norm.weight', [hidden]],
  ]
  for (let layer = 0; layer < config.num_hidden_layers; layer++) {
    const prefix = `model.layers.${layer}.`
    shapes.push(
      [`${prefix}input_layernorm.weight`, [hidden]],
      [`${prefix}post_attention_layernorm.weight`, [hidden]],
      [`${prefix}self_attn.q_proj.weight`, [queries, hidden]],
      [`${prefix}self_attn.k_proj.weight`, [keys, hidden]],
      [`${prefix}self_attn.v_proj.weight`, [keys, hidden]],
      [`${prefix}self_attn.o_proj.weight`, [hidden, queries]],
      [`${prefix}mlp.gate_proj.weight`, [inner, hidden]],
      [`${prefix}mlp.up_proj.weight`, [inner, hidden]],
      [`${prefix}mlp.down_proj.weight`, [hidden, inner]],
    )
  }
  return shapes
}

/**
 * Normal weights of deviation 0.02, divided by sqrt(2 * layers) where a block writes to the residual stream
 * (Radford et al., GPT-2, 2019); norms are 1.
 */
export async function writeInitialModel(
  /** @type {string} */ folder,
  /** @type {typeof import('./settings.mjs').CONFIG} */ config,
  /** @type {number} */ seed,
) {
  const tensors = new Map()
  tensorShapes(config).forEach(([name, shape], stream) => {
    const count = shape.reduce((product, size) => product * size, 1)
    const writesResidual = name.includes('o_proj') || name.includes('down_proj')
    const deviation = 0.02 / (writesResidual ? Math.sqrt(2 * config.num_hidden_layers) : 1)
    const values =
      shape.length === 1
        ? new Float32Array(count).fill(1)
        : native()
            .random(seed, stream, count, 'normal')
            .map((value) => value * deviation)
    tensors.set(name, { dtype: 'F32', shape, data: new Uint8Array(values.buffer) })
  })
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, 'model.safetensors'), serializeSafetensors(tensors, { format: 'pt' }))
  await writeFile(join(folder, 'config.json'), JSON.stringify({ ...config, torch_dtype: 'float32' }))
}
