/**
 * The one door to adapters on disk. Only factors: a PEFT folder, as any other software reads it. With dense deltas:
 *
 *     oneround_adapter.json       what this is; it holds PEFT's config of the factors, where there are any
 *     adapter_model.safetensors   the factors as PEFT names them, where there are any
 *     dense.safetensors           F32 tensors by their full names
 *
 * There is no adapter_config.json then: software that knows PEFT alone finds no adapter instead of half of one.
 */
import { z } from 'zod'
import { type SafetensorsTensor, serializeSafetensors } from '../model/safetensors.js'
import { writeSealed } from '../run/atomic.js'
import type { Adapter } from './adapter.js'
import type { DenseDelta } from './dense.js'
import { baseName, DENSE_FILES, FACTORS_FILE, PEFT_SEAL, peftFiles, savePeft } from './peft-save.js'

const [SEAL, DENSE_FILE] = DENSE_FILES
const FORMAT = 'oneround-adapter'
export const VERSION_KEY = 'oneround.dense'
export const VERSION = '1'

/** oneround_adapter.json */
export const sealSchema = z.strictObject({
  format: z.literal(FORMAT),
  version: z.literal(1),
  base: z.string().max(1000).nullable(),
  revision: z.string().max(1000).nullable(),
  method: z.string().max(100).nullable(),
  /** PEFT's adapter_config.json of the factors; null: dense deltas only */
  factors: z.record(z.string(), z.json()).nullable(),
})

/** Writes an adapter; what an earlier adapter left in the folder is taken away. */
export async function saveAdapter(adapter: Adapter, folder: string): Promise<void> {
  if (adapter.dense.length === 0) return savePeft(adapter, folder, adapter.origin)
  const { base, revision, method } = adapter.origin
  const peft = adapter.layers.some((layer) => layer.rank > 0) ? peftFiles(adapter.layers, adapter.origin) : undefined
  const seal: z.output<typeof sealSchema> = {
    format: FORMAT,
    version: 1,
    base: base === undefined ? null : baseName(base),
    revision: revision ?? null,
    method: method ?? null,
    factors:
      peft === undefined ? null : (JSON.parse(JSON.stringify(peft.config)) as Record<string, z.core.util.JSONType>),
  }
  await writeSealed(
    folder,
    [
      [DENSE_FILE, serializeDense(adapter.dense)],
      ...(peft === undefined ? [] : [[FACTORS_FILE, peft.factors] as const]),
      [SEAL, `${JSON.stringify(seal, undefined, 2)}\n`],
    ],
    [PEFT_SEAL, ...(peft === undefined ? [FACTORS_FILE] : [])],
  )
}

/** The names of the files that `save` writes for this adapter. */
export function adapterFileNames(adapter: Pick<Adapter, 'layers' | 'dense'>): string[] {
  if (adapter.dense.length === 0) return [FACTORS_FILE, PEFT_SEAL]
  return [DENSE_FILE, ...(adapter.layers.some((layer) => layer.rank > 0) ? [FACTORS_FILE] : []), SEAL]
}

/** The bytes of dense.safetensors. */
export function serializeDense(dense: readonly DenseDelta[]): Uint8Array {
  const tensors = new Map<string, SafetensorsTensor>()
  for (const { name, shape, values } of dense) {
    const data = new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
    tensors.set(name, { dtype: 'F32', shape: [...shape], data })
  }
  return serializeSafetensors(tensors, { [VERSION_KEY]: VERSION })
}
