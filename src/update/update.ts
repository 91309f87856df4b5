/** An update: what one client's training sends. It holds the trained factors of the plan's layers and a closed list of metadata. */
import { createHash } from 'node:crypto'
import { type Adapter, makeAdapter } from '../adapter/adapter.js'
import type { SafetensorsTensor } from '../model/safetensors.js'
import { serializeSafetensors } from '../model/safetensors.js'
import { writeAtomic } from '../run/atomic.js'
import { decodeUpdate } from './decode.js'
import { bytesOf } from './digest.js'
import { encodeInfo, type UpdateInfo } from './info.js'
import { factorCount } from './layers.js'
import { LIMITS } from './limits.js'
import type { Plan } from './plan-schema.js'
import { readBytes } from './read-file.js'
import { refusal } from './refusal.js'

export { shareable, type UpdateInfo } from './info.js'

export interface Update {
  readonly info: UpdateInfo
  readonly adapter: Adapter
  /** Writes the file in one step; gives the SHA-256 of its bytes. */
  save(file: string): Promise<{ sha256: string; bytes: number }>
}

/** Joins what was trained with what is said about it. */
export function makeUpdate(info: UpdateInfo, adapter: Adapter): Update {
  return {
    info: { ...info },
    adapter,
    async save(file) {
      const bytes = serializeUpdate(this)
      await writeAtomic(file, bytes)
      return { sha256: createHash('sha256').update(bytes).digest('hex'), bytes: bytes.length }
    },
  }
}

/** The bytes of an update file; the same update always gives the same bytes. Scales are not in it: they are the plan's. */
export function serializeUpdate(update: Pick<Update, 'info' | 'adapter'>): Uint8Array {
  const tensors = new Map<string, SafetensorsTensor>()
  for (const layer of update.adapter.layers) {
    tensors.set(`${layer.name}.lora_A`, { dtype: 'F32', shape: [layer.rank, layer.in], data: bytesOf(layer.a) })
    tensors.set(`${layer.name}.lora_B`, { dtype: 'F32', shape: [layer.out, layer.rank], data: bytesOf(layer.b) })
  }
  return serializeSafetensors(tensors, encodeInfo(update.info))
}

/**
 * An update from its bytes. Layers must be exactly the plan's, with their shapes; they come in the plan's order with
 * the plan's scales. Everything is checked before any factor is copied. `checkUpdate` does the rest.
 */
export function parseUpdate(bytes: Uint8Array, plan: Plan, source = 'The update'): Update {
  const { info, layers } = decodeUpdate(bytes, source)
  const found = new Map(layers.map((layer) => [layer.name, layer]))
  const known = new Set(plan.layers.map((layer) => layer.name))
  const fix = "Train with this federation's plan, then send that update."
  const stranger = layers.find((layer) => !known.has(layer.name))
  if (stranger !== undefined)
    throw refusal(info.client, 'layers', `layer '${stranger.name}'`, 'only layers of the plan', fix)
  const pairs = plan.layers.map((layer) => {
    const raw = found.get(layer.name)
    if (raw === undefined)
      throw refusal(info.client, 'layers', `no layer '${layer.name}'`, 'every layer of the plan', fix)
    if (raw.in !== layer.in || raw.out !== layer.out || raw.rank !== layer.rank) {
      throw refusal(
        info.client,
        'shape',
        `layer '${layer.name}' with in ${raw.in}, out ${raw.out}, rank ${raw.rank}`,
        `in ${layer.in}, out ${layer.out}, rank ${layer.rank}`,
        fix,
      )
    }
    return { layer, raw }
  })
  return makeUpdate(
    info,
    makeAdapter(pairs.map(({ layer, raw }) => ({ ...layer, a: floats(raw.a), b: floats(raw.b) }))),
  )
}

/** An update from its file; one longer than the plan's layers need is refused before it is read. */
export async function readUpdate(file: string, plan: Plan): Promise<Update> {
  return parseUpdate(await readUpdateBytes(file, plan), plan, file)
}

/** The bytes of an update file, not yet looked at. */
export function readUpdateBytes(file: string, plan: Plan): Promise<Uint8Array> {
  return readBytes(file, Math.min(LIMITS.updateBytes, factorCount(plan.layers) * 4 + LIMITS.updateHeaderBytes))
}

/** An aligned copy. */
function floats(bytes: Uint8Array): Float32Array {
  const copy = new Uint8Array(bytes.length)
  copy.set(bytes)
  return new Float32Array(copy.buffer)
}
