/** Writes a PEFT folder: adapter_config.json and adapter_model.safetensors. The config is placed last: without it there is no adapter. */
import { OneroundError } from '../errors.js'
import { type SafetensorsTensor, serializeSafetensors } from '../model/safetensors.js'
import { writeSealed } from '../run/atomic.js'
import type { Adapter, AdapterLayer, AdapterOrigin } from './adapter.js'
import { alphasOf } from './peft-alpha.js'

/** The PEFT release whose config fields are written. */
const PEFT_VERSION = '0.13.0'
export const PEFT_PREFIX = 'base_model.model.'
/** metadata key of adapter_model.safetensors that names the method; PEFT passes it over */
export const METHOD_KEY = 'oneround.method'
export const FACTORS_FILE = 'adapter_model.safetensors'
/** without it a folder holds no PEFT adapter */
export const PEFT_SEAL = 'adapter_config.json'
/** what an adapter with dense deltas has instead; see folder.ts */
export const DENSE_FILES = ['oneround_adapter.json', 'dense.safetensors'] as const

/**
 * Saves an adapter as PEFT does. One rank and scale for all layers become `r` and `lora_alpha`; otherwise the ones
 * that differ from the most common stand in rank_pattern and alpha_pattern under the layers' full names.
 * Layers of rank 0 have no effect and are left out. Dense deltas are refused: PEFT has no place for them.
 */
export async function savePeft(
  adapter: Pick<Adapter, 'layers' | 'dense'>,
  folder: string,
  origin: AdapterOrigin = {},
): Promise<void> {
  if (adapter.dense.length > 0) {
    throw new OneroundError('UNSUPPORTED', 'PEFT has no place for dense deltas.', {
      found: `dense deltas of ${adapter.dense.length} tensors, such as ${adapter.dense[0]?.name}`,
      expected: 'factors of linear layers only',
      fix: "Save it with the adapter's own save(), which writes them beside the factors.",
    })
  }
  const { factors, config } = peftFiles(adapter.layers, origin)
  await writeSealed(
    folder,
    [
      [FACTORS_FILE, factors],
      [PEFT_SEAL, `${JSON.stringify(config, undefined, 2)}\n`],
    ],
    DENSE_FILES,
  )
}

/** What PEFT's two files hold: the bytes of the factors, and the config. */
export function peftFiles(
  all: readonly AdapterLayer[],
  origin: AdapterOrigin,
): { factors: Uint8Array; config: Record<string, unknown> } {
  const layers = all.filter((layer) => layer.rank > 0)
  if (layers.length === 0) {
    throw new OneroundError('ARGUMENT', 'An adapter without layers cannot be saved.', {
      expected: 'at least one layer of rank 1 or more',
      fix: 'Aggregate at least one update.',
    })
  }
  const tensors = new Map<string, SafetensorsTensor>()
  for (const layer of layers) {
    tensors.set(`${PEFT_PREFIX}${layer.name}.lora_A.weight`, {
      dtype: 'F32',
      shape: [layer.rank, layer.in],
      data: bytesOf(layer.a),
    })
    tensors.set(`${PEFT_PREFIX}${layer.name}.lora_B.weight`, {
      dtype: 'F32',
      shape: [layer.out, layer.rank],
      data: bytesOf(layer.b),
    })
  }
  const metadata: Record<string, string> = { format: 'pt' }
  if (origin.method !== undefined) metadata[METHOD_KEY] = origin.method
  return { factors: serializeSafetensors(tensors, metadata), config: configOf(layers, origin) }
}

function configOf(layers: readonly AdapterLayer[], origin: AdapterOrigin): Record<string, unknown> {
  const { rsLora, alphas } = alphasOf(layers)
  const rank = mostCommon(layers.map((layer) => layer.rank))
  const alpha = mostCommon(alphas)
  const rankPattern: Record<string, number> = {}
  const alphaPattern: Record<string, number> = {}
  layers.forEach((layer, index) => {
    const own = alphas[index] ?? alpha
    // Dots are escaped nowhere: PEFT's own files do not, and a full name can only match itself or a longer path.
    if (layer.rank !== rank) rankPattern[layer.name] = layer.rank
    if (own !== alpha) alphaPattern[layer.name] = own
  })
  return {
    peft_type: 'LORA',
    task_type: 'CAUSAL_LM',
    base_model_name_or_path: origin.base === undefined ? null : baseName(origin.base),
    revision: origin.revision ?? null,
    // Full names: a suffix would also target layers of the base that this adapter does not hold.
    target_modules: layers.map((layer) => layer.name),
    r: rank,
    lora_alpha: alpha,
    lora_dropout: 0,
    bias: 'none',
    fan_in_fan_out: layers.every((layer) => isConv1d(layer.name)),
    use_rslora: rsLora,
    use_dora: false,
    rank_pattern: rankPattern,
    alpha_pattern: alphaPattern,
    modules_to_save: null,
    inference_mode: true,
    init_lora_weights: true,
    peft_version: PEFT_VERSION,
  }
}

/**
 * GPT-2's layers, whose weights Hugging Face stores [in, out]: PEFT must be told so before it merges. A and B have the
 * same shapes as for any layer.
 */
export function isConv1d(name: string): boolean {
  return /^transformer\.h\.\d+\.(attn\.c_(attn|proj)|mlp\.c_(fc|proj))$/.test(name)
}

/** An adapter is published: it names the base, not the place on somebody's disk. */
export function baseName(base: string): string {
  const id = base.startsWith('hub:') ? base.slice(4) : base
  const isPath = /^([./~\\]|[A-Za-z]:[\\/])/.test(id) || id.includes('\\') || id.split('/').length > 2
  return isPath
    ? (id
        .split(/[\\/]/)
        .filter((part) => part !== '')
        .at(-1) ?? id)
    : id
}

function mostCommon(values: readonly number[]): number {
  const counts = new Map<number, number>()
  let best = values[0] ?? 0
  for (const value of values) {
    const count = (counts.get(value) ?? 0) + 1
    counts.set(value, count)
    if (count > (counts.get(best) ?? 0)) best = value
  }
  return best
}

function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
}
