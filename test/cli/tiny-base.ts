/** A Llama-architecture base of a few thousand random parameters, as a Hugging Face folder, written without our own code. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const shape = { vocabulary: 257, hidden: 32, layers: 2, heads: 4, kvHeads: 2, intermediate: 64 }

/** The 256 characters that stand for bytes in a byte-level tokenizer: printable ones themselves, others from U+0100 on. */
function byteAlphabet(): string[] {
  let next = 256
  const printable = (byte: number) => (byte > 32 && byte < 127) || (byte > 160 && byte !== 173)
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : next++))
}

/** [name, shape] of every tensor; rows first. */
function tensors(): [string, number[]][] {
  const { vocabulary, hidden, layers, heads, kvHeads, intermediate } = shape
  const keys = (hidden / heads) * kvHeads
  return [
    ['model.embed_tokens.weight', [vocabulary, hidden]],
    ['model.norm.weight', [hidden]],
    ...Array.from({ length: layers }, (_, layer): [string, number[]][] =>
      (
        [
          ['input_layernorm.weight', [hidden]],
          ['post_attention_layernorm.weight', [hidden]],
          ['self_attn.q_proj.weight', [hidden, hidden]],
          ['self_attn.k_proj.weight', [keys, hidden]],
          ['self_attn.v_proj.weight', [keys, hidden]],
          ['self_attn.o_proj.weight', [hidden, hidden]],
          ['mlp.gate_proj.weight', [intermediate, hidden]],
          ['mlp.up_proj.weight', [intermediate, hidden]],
          ['mlp.down_proj.weight', [hidden, intermediate]],
        ] as [string, number[]][]
      ).map(([name, dims]) => [`model.layers.${layer}.${name}`, dims]),
    ).flat(),
  ]
}

function safetensors(): Buffer {
  let seed = 12345
  const uniform = () => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
    return seed / 2 ** 32 - 0.5
  }
  const header: Record<string, object> = {}
  const parts: Buffer[] = []
  let offset = 0
  for (const [name, dims] of tensors()) {
    const count = dims.reduce((product, n) => product * n, 1)
    const values = Float32Array.from({ length: count }, () => (dims.length === 1 ? 1 : uniform() * 0.3))
    header[name] = { dtype: 'F32', shape: dims, data_offsets: [offset, offset + values.byteLength] }
    parts.push(Buffer.from(values.buffer))
    offset += values.byteLength
  }
  const json = Buffer.from(JSON.stringify(header))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(json.length))
  return Buffer.concat([length, json, ...parts])
}

/** Writes config.json, model.safetensors and tokenizer.json (one token a byte, and one for the end of a text). */
export function writeTinyBase(folder: string): void {
  mkdirSync(folder, { recursive: true })
  const end = shape.vocabulary - 1
  const config = {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    hidden_size: shape.hidden,
    intermediate_size: shape.intermediate,
    num_hidden_layers: shape.layers,
    num_attention_heads: shape.heads,
    num_key_value_heads: shape.kvHeads,
    vocab_size: shape.vocabulary,
    max_position_embeddings: 128,
    rms_norm_eps: 1e-5,
    rope_theta: 10000,
    hidden_act: 'silu',
    tie_word_embeddings: true,
    bos_token_id: end,
    eos_token_id: end,
    torch_dtype: 'float32',
  }
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true }
  const marker = {
    content: '<|end|>',
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  }
  const tokenizer = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [{ id: end, ...marker }],
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: byteLevel,
    decoder: byteLevel,
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      vocab: Object.fromEntries([...byteAlphabet(), marker.content].map((token, id) => [token, id])),
      merges: [],
    },
  }
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config, null, 2))
  writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(tokenizer))
  writeFileSync(join(folder, 'model.safetensors'), safetensors())
}
