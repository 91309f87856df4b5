import { GGML_TYPES } from '../../../src/model/gguf-types.js'

/** Writes small GGUF files for tests, sound or not, byte by byte. */
export type Entry = [
  key: string,
  type: number,
  value: number | string | boolean | { of: number; values: (string | number)[] },
]
export interface BuiltTensor {
  name: string
  /** in the file's order, fastest first */
  ne: number[]
  type: number
  bytes: number
  offset?: number
}

export function buildGguf(
  entries: Entry[],
  tensors: BuiltTensor[],
  o: { version?: number; counts?: bigint[] } = {},
): Buffer {
  const parts: Buffer[] = []
  const u32 = (n: number) => {
    const b = Buffer.alloc(4)
    b.writeUInt32LE(n)
    parts.push(b)
  }
  const u64 = (n: number | bigint) => {
    const b = Buffer.alloc(8)
    b.writeBigUInt64LE(BigInt(n))
    parts.push(b)
  }
  const text = (s: string) => {
    const b = Buffer.from(s)
    u64(b.length)
    parts.push(b)
  }
  const scalar = (type: number, value: unknown) => {
    if (type === 8) text(String(value))
    else if (type === 7) parts.push(Buffer.from([value ? 1 : 0]))
    else if (type === 6) {
      const b = Buffer.alloc(4)
      b.writeFloatLE(Number(value))
      parts.push(b)
    } else if (type === 10) u64(Number(value))
    else u32(Number(value))
  }
  parts.push(Buffer.from('GGUF'))
  u32(o.version ?? 3)
  u64(o.counts?.[0] ?? tensors.length)
  u64(o.counts?.[1] ?? entries.length)
  for (const [key, type, value] of entries) {
    text(key)
    u32(type)
    if (typeof value === 'object') {
      u32(value.of)
      u64(value.values.length)
      for (const item of value.values) scalar(value.of, item)
    } else scalar(type, value)
  }
  let at = 0
  for (const { name, ne, type, bytes, offset } of tensors) {
    text(name)
    u32(ne.length)
    for (const n of ne) u64(n)
    u32(type)
    u64(offset ?? at)
    at = Math.ceil((at + bytes) / 32) * 32
  }
  const header = Buffer.concat(parts)
  return Buffer.concat([header, Buffer.alloc(Math.ceil(header.length / 32) * 32 - header.length + at, 1)])
}

/**
 * The metadata and tensors of a decoder of one layer: hidden 32 (256 where the type's blocks are), 4 heads, 2 key-value
 * heads (GPT-2: 4), vocabulary 8. Matrices have the type, by its number; norms and biases are F32.
 */
export function tinyDecoder(
  architecture: 'llama' | 'qwen2' | 'qwen3' | 'gpt2',
  change: Record<string, Entry[2]> = {},
  type = 0,
): { entries: Entry[]; tensors: BuiltTensor[] } {
  const block = GGML_TYPES.get(type)
  if (block === undefined) throw new Error(`no type ${type}`)
  const gpt2 = architecture === 'gpt2'
  const hidden = block.elements === 256 ? 256 : 32
  const keys = gpt2 ? hidden : hidden / 2
  const wide = 2 * hidden
  const entries: Entry[] = [
    ['general.architecture', 8, architecture],
    [`${architecture}.block_count`, 4, 1],
    [`${architecture}.context_length`, 4, 64],
    [`${architecture}.embedding_length`, 4, hidden],
    [`${architecture}.feed_forward_length`, 4, wide],
    [`${architecture}.attention.head_count`, 4, 4],
    [`${architecture}.attention.head_count_kv`, 4, gpt2 ? 4 : 2],
    [`${architecture}.attention.layer_norm_${gpt2 ? '' : 'rms_'}epsilon`, 6, 1e-5],
  ]
  for (const [key, value] of Object.entries(change)) {
    const kept = entries.findIndex(([name]) => name === key)
    const entry: Entry = [key, typeof value === 'string' ? 8 : typeof value === 'object' ? 9 : 4, value]
    if (kept >= 0) entries[kept] = entry
    else entries.push(entry)
  }
  const matrix = (name: string, n: number, m: number): BuiltTensor => ({
    name: `${name}.weight`,
    ne: [n, m],
    type,
    bytes: ((n * m) / block.elements) * block.bytes,
  })
  const vector = (name: string, n: number): BuiltTensor => ({ name, ne: [n], type: 0, bytes: 4 * n })
  const norm = (name: string, n = hidden): BuiltTensor[] => [
    vector(`${name}.weight`, n),
    ...(gpt2 ? [vector(`${name}.bias`, n)] : []),
  ]
  const linear = (name: string, n: number, m: number, bias = gpt2): BuiltTensor[] => [
    matrix(`blk.0.${name}`, n, m),
    ...(bias ? [vector(`blk.0.${name}.bias`, m)] : []),
  ]
  const qkv = architecture === 'qwen2'
  const tensors = [
    matrix('token_embd', hidden, 8),
    ...(gpt2 ? [matrix('position_embd', hidden, 64)] : []),
    ...norm('blk.0.attn_norm'),
    ...(gpt2
      ? linear('attn_qkv', hidden, 3 * hidden)
      : [
          ...linear('attn_q', hidden, hidden, qkv),
          ...linear('attn_k', hidden, keys, qkv),
          ...linear('attn_v', hidden, keys, qkv),
        ]),
    ...(architecture === 'qwen3' ? ['q', 'k'].flatMap((x) => norm(`blk.0.attn_${x}_norm`, hidden / 4)) : []),
    ...linear('attn_output', hidden, hidden),
    ...norm('blk.0.ffn_norm'),
    ...(gpt2 ? [] : linear('ffn_gate', hidden, wide)),
    ...linear('ffn_up', hidden, wide),
    ...linear('ffn_down', wide, hidden),
    ...norm('output_norm'),
  ]
  return { entries, tensors }
}
