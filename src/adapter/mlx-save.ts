/**
 * Writes an adapter folder of mlx-lm: adapters.safetensors and adapter_config.json (ml-explore/mlx-lm, tuner/utils.py
 * and tuner/lora.py). Factors are transposed against PEFT's: lora_a [in, r], lora_b [r, out].
 */
import { type SafetensorsTensor, serializeSafetensors } from '../model/safetensors.js'
import { writeSealed } from '../run/atomic.js'
import type { Adapter, AdapterLayer } from './adapter.js'
import { refuseDense } from './fits.js'
import { effective, foldScales, mostCommon } from './fold.js'
import { transpose } from './pairs.js'
import { METHOD_KEY } from './peft-save.js'

export const MLX_FILE = 'adapters.safetensors'
export const MLX_CONFIG = 'adapter_config.json'

/** mlx-lm calls GPT-2's body `model`, as it does every architecture's. */
function mlxName(layer: string): string {
  return layer.replace(/^transformer\.h\./, 'model.h.')
}

/**
 * Scale and rank are one for all layers: another scale goes into B, a lower rank is filled up with zeros (mlx-lm
 * refuses factors of another rank than its config's).
 * @returns what the folder does not hold as the adapter had it
 */
export async function saveMlx(adapter: Adapter, folder: string): Promise<string[]> {
  refuseDense(adapter, 'An MLX adapter')
  const layers = effective(adapter)
  const scale = mostCommon(layers.map((layer) => layer.scale))
  const rank = Math.max(...layers.map((layer) => layer.rank))
  const folded = foldScales(layers, () => scale)
  const tensors = new Map<string, SafetensorsTensor>()
  for (const narrow of folded.layers) {
    const layer = widened(narrow, rank)
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
  const narrow = layers.filter((layer) => layer.rank < rank)
  if (narrow.length > 0) {
    notes.push(
      `MLX has one rank for all layers: ${narrow.length} layers were filled up with zeros to rank ${rank} (such as ${narrow[0]?.name}).`,
    )
  }
  return notes
}

/** The same product with more directions, all zero. */
function widened(layer: AdapterLayer, rank: number): AdapterLayer {
  if (layer.rank === rank) return layer
  const a = new Float32Array(rank * layer.in)
  a.set(layer.a)
  const b = new Float32Array(layer.out * rank)
  for (let row = 0; row < layer.out; row++) {
    b.set(layer.b.subarray(row * layer.rank, (row + 1) * layer.rank), row * rank)
  }
  return { ...layer, rank, a, b }
}
