/**
 * An update: what one client's training sends. It holds the trained factors of the plan's layers, or the change of every
 * tensor, and a closed list of metadata.
 */
import { createHash } from 'node:crypto'
import { type Adapter, type AdapterLayer, makeAdapter } from '../adapter/adapter.js'
import type { DenseDelta } from '../adapter/dense.js'
import type { SafetensorsTensor } from '../model/safetensors.js'
import { serializeSafetensors } from '../model/safetensors.js'
import { writeAtomic } from '../run/atomic.js'
import { DELTA, decodeUpdate, type RawDelta, type RawLayer } from './decode.js'
import { bytesOf } from './digest.js'
import { encodeInfo, KINDS, type UpdateInfo } from './info.js'
import { updateCount } from './layers.js'
import { LIMITS } from './limits.js'
import type { FullTrainable, Plan } from './plan-schema.js'
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
  for (const { name, shape, values } of update.adapter.dense)
    tensors.set(`${name}${DELTA}`, { dtype: 'F32', shape, data: bytesOf(values) })
  return serializeSafetensors(tensors, encodeInfo(update.info, update.adapter.dense.length > 0 ? 'full' : 'lora'))
}

const FIX = "Train with this federation's plan, then send that update."

/**
 * An update from its bytes. Layers or tensors must be exactly the plan's, with their shapes; they come in the plan's
 * order, layers with the plan's scales. Everything is checked before a number is copied. `checkUpdate` does the rest.
 */
export function parseUpdate(bytes: Uint8Array, plan: Plan, source = 'The update'): Update {
  const decoded = decodeUpdate(bytes, source)
  const { info } = decoded
  const { trainable } = plan.train
  if (decoded.kind === 'lora' && trainable.kind === 'lora')
    return makeUpdate(info, makeAdapter(layersOf(info.client, decoded.layers, plan)))
  if (decoded.kind === 'full' && trainable.kind === 'full')
    return makeUpdate(info, makeAdapter([], deltasOf(info.client, decoded.deltas, trainable)))
  throw refusal(info.client, 'kinds', `tensors of kinds ${KINDS[decoded.kind]}`, KINDS[trainable.kind], FIX)
}

function layersOf(client: string, layers: readonly RawLayer[], plan: Plan): AdapterLayer[] {
  const raws = agreed(client, 'layer', layers, plan.layers)
  for (const [i, layer] of plan.layers.entries()) {
    const { in: inDim, out, rank } = raws[i] as RawLayer
    if (inDim === layer.in && out === layer.out && rank === layer.rank) continue
    throw refusal(
      client,
      'shape',
      `layer '${layer.name}' with in ${inDim}, out ${out}, rank ${rank}`,
      `in ${layer.in}, out ${layer.out}, rank ${layer.rank}`,
      FIX,
    )
  }
  return plan.layers.map((layer, i) => ({ ...layer, a: floats(raws[i]?.a), b: floats(raws[i]?.b) }))
}

function deltasOf(client: string, deltas: readonly RawDelta[], { tensors }: FullTrainable): DenseDelta[] {
  const raws = agreed(client, 'tensor', deltas, tensors)
  for (const [i, { name, shape }] of tensors.entries()) {
    const found = raws[i]?.shape.join(', ')
    if (found !== shape.join(', '))
      throw refusal(client, 'shape', `tensor '${name}' [${found}]`, `[${shape.join(', ')}]`, FIX)
  }
  return tensors.map(({ name, shape }, i) => ({ name, shape: [...shape], values: floats(raws[i]?.values) }))
}

/** What was found, one for one in the plan's order. */
function agreed<T extends { name: string }>(
  client: string,
  what: string,
  found: readonly T[],
  plan: readonly { name: string }[],
): T[] {
  const known = new Set(plan.map(({ name }) => name))
  const stranger = found.find(({ name }) => !known.has(name))
  if (stranger !== undefined)
    throw refusal(client, `${what}s`, `${what} '${stranger.name}'`, `only ${what}s of the plan`, FIX)
  const byName = new Map(found.map((raw) => [raw.name, raw]))
  return plan.map(({ name }) => {
    const raw = byName.get(name)
    if (raw === undefined) throw refusal(client, `${what}s`, `no ${what} '${name}'`, `every ${what} of the plan`, FIX)
    return raw
  })
}

export function isBytesOrFile(source: Update | Uint8Array | string): source is Uint8Array | string {
  return typeof source === 'string' || source instanceof Uint8Array
}

/** An update from its bytes or from its file. */
export async function openUpdate(source: Uint8Array | string, plan: Plan): Promise<Update> {
  return typeof source === 'string' ? readUpdate(source, plan) : parseUpdate(source, plan)
}

/** An update from its file; one longer than the plan's layers need is refused before it is read. */
export async function readUpdate(file: string, plan: Plan): Promise<Update> {
  return parseUpdate(await readUpdateBytes(file, plan), plan, file)
}

/** The bytes of an update file, not yet looked at. */
export function readUpdateBytes(file: string, plan: Plan): Promise<Uint8Array> {
  return readBytes(file, Math.min(LIMITS.updateBytes, updateCount(plan) * 4 + LIMITS.updateHeaderBytes))
}

/** An aligned copy. */
function floats(bytes: Uint8Array = new Uint8Array()): Float32Array {
  const copy = new Uint8Array(bytes.length)
  copy.set(bytes)
  return new Float32Array(copy.buffer)
}
