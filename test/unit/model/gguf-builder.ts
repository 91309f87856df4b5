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

/** The metadata and tensors of a Llama of one layer: hidden 32, 4 heads, 2 key-value heads, vocabulary 8. */
export function tinyLlama(
  change: Record<string, Entry[2]> = {},
  type = 0,
): { entries: Entry[]; tensors: BuiltTensor[] } {
  const entries: Entry[] = [
    ['general.architecture', 8, 'llama'],
    ['llama.block_count', 4, 1],
    ['llama.context_length', 4, 64],
    ['llama.embedding_length', 4, 32],
    ['llama.feed_forward_length', 4, 64],
    ['llama.attention.head_count', 4, 4],
    ['llama.attention.head_count_kv', 4, 2],
    ['llama.attention.layer_norm_rms_epsilon', 6, 1e-5],
  ]
  for (const [key, value] of Object.entries(change)) {
    const kept = entries.findIndex(([name]) => name === key)
    const entry: Entry = [key, typeof value === 'string' ? 8 : typeof value === 'object' ? 9 : 4, value]
    if (kept >= 0) entries[kept] = entry
    else entries.push(entry)
  }
  const perBlock: Record<number, [number, number]> = {
    0: [1, 4],
    3: [32, 20],
    8: [32, 34],
    1: [1, 2],
    30: [1, 2],
    2: [32, 18],
  }
  const [elements, bytes] = perBlock[type] ?? [1, 4]
  const matrix = (name: string, n: number, m: number): BuiltTensor => ({
    name,
    ne: [n, m],
    type,
    bytes: ((n * m) / elements) * bytes,
  })
  const norm = (name: string): BuiltTensor => ({ name, ne: [32], type: 0, bytes: 128 })
  const tensors = [
    matrix('token_embd.weight', 32, 8),
    norm('blk.0.attn_norm.weight'),
    matrix('blk.0.attn_q.weight', 32, 32),
    matrix('blk.0.attn_k.weight', 32, 16),
    matrix('blk.0.attn_v.weight', 32, 16),
    matrix('blk.0.attn_output.weight', 32, 32),
    norm('blk.0.ffn_norm.weight'),
    matrix('blk.0.ffn_gate.weight', 32, 64),
    matrix('blk.0.ffn_up.weight', 32, 64),
    matrix('blk.0.ffn_down.weight', 64, 32),
    norm('output_norm.weight'),
  ]
  return { entries, tensors }
}
