/** What adapters of other programs hold, field by field. */
import { readPairs } from '../adapter/gguf-adapter.js'
import { loadMlx } from '../adapter/mlx.js'
import { joinPair } from '../adapter/pairs.js'
import { METHOD_KEY } from '../adapter/peft-save.js'
import { readGguf } from '../model/gguf.js'
import type { LeavingField } from './describe.js'
import { norm } from './norm.js'

export interface FormFields {
  fields: LeavingField[]
  method: string | undefined
}

interface Factors {
  name: string
  in: number
  out: number
  rank: number
  scale?: number
  a: Float32Array
  b: Float32Array
}

/** One line for a layer: sizes, scale where it is known, and the norms of its factors. */
export function layerField({ name, in: inputs, out, rank, scale, a, b }: Factors): LeavingField {
  const scaled = scale === undefined ? '' : `, scale ${scale}`
  const norms = `|A| ${norm(a).toPrecision(4)}, |B| ${norm(b).toPrecision(4)}`
  return { field: name, meaning: 'adapted layer', value: `rank ${rank}${scaled}, in ${inputs}, out ${out}, ${norms}` }
}

export async function mlxFields(folder: string): Promise<FormFields> {
  const { layers, origin } = await loadMlx(folder)
  return { fields: layers.map(layerField), method: origin.method }
}

/** A GGUF adapter without its base: llama.cpp's names, rows in llama.cpp's order, which changes no norm. */
export async function ggufFields(file: string): Promise<FormFields> {
  const gguf = await readGguf(file)
  const fields: LeavingField[] = []
  for (const [key, value] of gguf.metadata) {
    const short = Array.isArray(value) || ArrayBuffer.isView(value) ? 'a list' : String(value).slice(0, 200)
    fields.push({ field: key, meaning: 'metadata', value: short })
  }
  const alpha = gguf.metadata.get('adapter.lora.alpha')
  for (const [name, pair] of await readPairs(gguf, file)) {
    const layer = joinPair(name, pair, { names: ['lora_a', 'lora_b'], transposed: false }, file)
    const scale = typeof alpha === 'number' ? { scale: alpha === 0 ? 1 : alpha / layer.rank } : {}
    fields.push(layerField({ ...layer, ...scale }))
  }
  const method = gguf.metadata.get(METHOD_KEY)
  return { fields, method: typeof method === 'string' ? method : undefined }
}
