/** Writes llama.cpp's LoRA adapter: rank a tensor, one alpha for all (llama.cpp's llama-adapter.cpp, convert_lora_to_gguf.py). */
import { layOutGguf } from '../model/gguf-write.js'
import type { ModelSpec } from '../model/spec.js'
import { writeAtomic } from '../run/atomic.js'
import type { Adapter } from './adapter.js'
import { checkFits, refuseDense } from './fits.js'
import { effective, foldScales, mostCommon } from './fold.js'
import { ggufNames, reorderRows } from './gguf-names.js'
import { METHOD_KEY } from './peft-save.js'

/**
 * A layer's scale there is alpha / rank, so alpha is scale * rank of most layers; for the others the difference goes
 * into B. With rsLoRA that is alpha * sqrt(rank), the same number at one rank.
 * @returns what the file does not hold as the adapter had it
 */
export async function saveGgufAdapter(adapter: Adapter, file: string, spec: ModelSpec): Promise<string[]> {
  refuseDense(adapter, 'A GGUF adapter')
  checkFits(adapter, spec)
  const layers = effective(adapter)
  // a written alpha of zero would mean that factors are not scaled at all
  const alpha = mostCommon(layers.map(({ scale, rank }) => Math.fround(scale * rank))) || 1
  const folded = foldScales(layers, ({ rank }) => alpha / rank)
  const { architecture, layers: places } = ggufNames(spec)
  const known = new Map(folded.layers.map((layer) => [layer.name, layer]))
  const tensors: { name: string; type: string; shape: number[]; values: Float32Array }[] = []
  for (const { name, tensor, heads } of places) {
    const layer = known.get(name)
    if (layer === undefined) continue
    const b = reorderRows(layer.b, layer.out, heads, 'gguf')
    tensors.push({ name: `${tensor}.lora_a`, type: 'F32', shape: [layer.rank, layer.in], values: layer.a })
    tensors.push({ name: `${tensor}.lora_b`, type: 'F32', shape: [layer.out, layer.rank], values: b })
  }
  const { base, method } = adapter.origin
  const layout = layOutGguf(
    [
      ['general.type', 'string', 'adapter'],
      ['general.architecture', 'string', architecture],
      ['adapter.type', 'string', 'lora'],
      ['adapter.lora.alpha', 'f32', alpha],
      ...(base === undefined ? [] : [['general.base_model.0.name', 'string', base] as const]),
      ...(base === undefined ? [] : [['general.base_model.count', 'u32', 1] as const]),
      ...(method === undefined ? [] : [[METHOD_KEY, 'string', method] as const]),
    ],
    tensors,
  )
  const bytes = new Uint8Array(layout.bytes)
  bytes.set(layout.header)
  for (const { name, values } of tensors) {
    bytes.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), layout.offsets.get(name) ?? 0)
  }
  await writeAtomic(file, bytes)
  const single = layers.some(({ scale, rank }) => Math.fround(scale * rank) === alpha && scale !== alpha / rank)
  return notesOf(folded.rounded, single, adapter)
}

function notesOf(rounded: readonly string[], single: boolean, { origin }: Adapter): string[] {
  const notes: string[] = []
  if (single) notes.push('GGUF holds alpha in single precision: scales change by up to 6e-8 of themselves.')
  if (rounded.length > 0) {
    notes.push(
      `GGUF has one alpha for all layers: B of ${rounded.length} layers was scaled and rounded to f32 (such as ${rounded[0]}).`,
    )
  }
  if (origin.revision !== undefined) notes.push("GGUF has no place for the base's revision.")
  return notes
}
