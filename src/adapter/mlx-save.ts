/**
 * Writes an adapter folder of mlx-lm: adapters.safetensors and adapter_config.json (ml-explore/mlx-lm, tuner/utils.py
 * and tuner/lora.py). Factors are transposed against PEFT's: lora_a [in, r], lora_b [r, out].
 */
import { type SafetensorsTensor, serializeSafetensors } from '../model/safetensors.js'
import { writeSealed } from '../run/atomic.js'
import type { Adapter } from './adapter.js'
import { refuseDense } from './fits.js'
import { effective, foldScales, mostCommon } from './fold.js'
import { transpose } from './pairs.js'
import { METHOD_KEY } from './peft-save.js'

export const MLX_FILE = 'adapters.safetensors'
export const MLX_CONFIG = 'adapter_config.json'

/** mlx-lm calls GPT-2's body `model`, as it does every architecture's. */
export function mlxName(layer: string): string {
  return layer.replace(/^transformer\.h\./, 'model.h.')
}

/**
 * The scale is one for all layers and stored as such; what differs goes into B. A rank is what each factor's shape says.
 * @returns what the folder does not hold as the adapter had it
 */
export async function saveMlx(adapter: Adapter, folder: string): Promise<string[]> {
  refuseDense(adapter, 'An MLX adapter')
  const layers = effective(adapter)
  const scale = mostCommon(layers.map((layer) => layer.scale))
  const rank = mostCommon(layers.map((layer) => layer.rank))
  const folded = foldScales(layers, () => scale)
  const tensors = new Map<string, SafetensorsTensor>()
  for (const layer of folded.layers) {
    const name = mlxName(layer.name)
    const a = transpose(layer.a, layer.rank, layer.in)
    const b = transpose(layer.b, layer.out, layer.rank)
    tensors.set(`${name}.lora_a`, { dtype: 'F32', shape: [layer.in, layer.rank], data: new Uint8Array(a.buffer) })
    tensors.set(`${name}.lora_b`, { dtype: 'F32', shape: [layer.rank, layer.out], data: new Uint8Array(b.buffer) })
  }
  const keys = new Set(folded.layers.map(({ name }) => mlxName(name).replace(/^model\.(layers|h)\.\d+\./, '')))
  const { base, method } = adapter.origin
  const config = {
    ...(base === undefined ? {} : { model: base }),
    fine_tune_type: 'lora',
    // counted from the last block; mlx-lm takes all for -1
    num_layers: -1,
    lora_parameters: { rank, scale, dropout: 0, keys: [...keys].sort() },
  }
  const metadata: Record<string, string> = { format: 'mlx' }
  if (method !== undefined) metadata[METHOD_KEY] = method
  await writeSealed(folder, [
    [MLX_FILE, serializeSafetensors(tensors, metadata)],
    [MLX_CONFIG, `${JSON.stringify(config, undefined, 2)}\n`],
  ])
  const notes: string[] = []
  if (folded.rounded.length > 0) {
    notes.push(
      `MLX has one scale for all layers: B of ${folded.rounded.length} layers was scaled and rounded to f32 (such as ${folded.rounded[0]}).`,
    )
  }
  return notes
}
