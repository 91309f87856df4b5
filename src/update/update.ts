/**
 * An update: what one client's training sends. It holds what trained of the plan's layers (both factors, B, or a core), or
 * the change of every tensor, and a closed list of metadata.
 */
import { createHash } from 'node:crypto'
import { type Adapter, type AdapterLayer, makeAdapter } from '../adapter/adapter.js'
import type { DenseDelta } from '../adapter/dense.js'
import type { SafetensorsTensor } from '../model/safetensors.js'
import { serializeSafetensors } from '../model/safetensors.js'
import { layOutSafetensors } from '../model/safetensors-layout.js'
import { writeAtomic } from '../run/atomic.js'
import { sha256Of } from '../text/digest.js'
import { decodeUpdate, ENDINGS, type RawLayer, type RawTensor } from './decode.js'
import { bytesOf } from './digest.js'
import { encodeInfo, KINDS, type UpdateInfo, type UpdateKind } from './info.js'
import { updateCount } from './layers.js'
import { LIMITS } from './limits.js'
import { type PlanHeader, type PlanTensor, readPlanHead } from './plan-header.js'
import type { FullTrainable, Plan } from './plan-schema.js'
import { readBytes } from './read-file.js'
import { refusal } from './refusal.js'
import { sharedFactors, withCore } from './shared-factors.js'

export { shareable, type UpdateInfo } from './info.js'

export interface Update {
  readonly info: UpdateInfo
  /** with the plan's frozen factors where only a part trains: all kinds of factors have the same form to the server */
  readonly adapter: Adapter
  /** what trained, which is what the file holds */
  readonly kind: UpdateKind
  /** fed-sb: R [rank, rank] of each layer of the adapter, whose B is then B R */
  readonly cores?: readonly Float32Array[]
  /** Writes the file in one step; gives the SHA-256 of its bytes. */
  save(file: string): Promise<{ sha256: string; bytes: number }>
}

/** What was trained. */
export interface Trained {
  adapter: Adapter
  kind: UpdateKind
  cores?: readonly Float32Array[]
}

/** Joins what was trained with what is said about it. An adapter alone is taken for factors, or for whole tensors if it has any. */
export function makeUpdate(info: UpdateInfo, trained: Adapter | Trained): Update {
  const { adapter, kind, cores } =
    'adapter' in trained
      ? trained
      : { adapter: trained, kind: trained.dense.length > 0 ? ('full' as const) : ('lora' as const), cores: undefined }
  return {
    info: { ...info },
    adapter,
    kind,
    ...(cores === undefined ? {} : { cores }),
    async save(file) {
      const bytes = serializeUpdate(this)
      await writeAtomic(file, bytes)
      return { sha256: sha256Of(bytes), bytes: bytes.length }
    },
  }
}

/** The bytes of an update file; the same update always gives the same bytes. Scales are not in it: they are the plan's. */
export function serializeUpdate(update: Omit<Update, 'save'>): Uint8Array {
  return serializeSafetensors(tensorsOf(update), encodeInfo(update.info, update.kind))
}

/** SHA-256 of those bytes, which are never there at once. */
export function updateSha256(update: Omit<Update, 'save'>): string {
  const tensors = tensorsOf(update)
  const { header, offsets } = layOutSafetensors(tensors, encodeInfo(update.info, update.kind))
  const hash = createHash('sha256').update(header)
  for (const name of offsets.keys()) hash.update(tensors.get(name)?.data ?? new Uint8Array())
  return hash.digest('hex')
}

function tensorsOf({ adapter, kind, cores }: Omit<Update, 'save'>): Map<string, SafetensorsTensor> {
  const tensors = new Map<string, SafetensorsTensor>()
  const put = (name: string, shape: number[], values: Float32Array) =>
    tensors.set(name, { dtype: 'F32', shape, data: bytesOf(values) })
  for (const [i, { name, in: inDim, out, rank, a, b }] of adapter.layers.entries()) {
    if (kind === 'fed-sb') put(`${name}${ENDINGS[kind]}`, [rank, rank], cores?.[i] as Float32Array)
    if (kind === 'lora') put(`${name}.lora_A`, [rank, inDim], a)
    if (kind === 'lora' || kind === 'ffa') put(`${name}.lora_B`, [out, rank], b)
  }
  for (const { name, shape, values } of adapter.dense) put(`${name}${ENDINGS.full}`, shape, values)
  return tensors
}

const FIX = "Train with this federation's plan, then send that update."

interface ParseOptions {
  /** the bytes are not changed while the update is in use: factors then lie in them, where they can; else they are copied */
  isKept?: boolean
  /** the plan's, where many updates are read: one that has it is not parsed but for its metadata */
  header?: PlanHeader | undefined
}

/**
 * An update from its bytes. Layers or tensors must be exactly the plan's, with their shapes; they come in the plan's
 * order, layers with the plan's scales. Everything is checked before a number is copied. `checkUpdate` does the rest.
 */
export function parseUpdate(bytes: Uint8Array, plan: Plan, source = 'The update', o: ParseOptions = {}): Update {
  const { header, isKept = false } = o
  const head = header && readPlanHead(bytes, header, source)
  if (head !== undefined && header !== undefined && head.offset + 4 * countOf(plan) === bytes.length)
    return makeUpdate(head.info, makeAdapter(layersAt(bytes.subarray(head.offset), plan, header, isKept)))
  const decoded = decodeUpdate(bytes, source)
  const { info } = decoded
  const { trainable } = plan.train
  if (decoded.kind === 'lora' && trainable.kind === 'lora')
    return makeUpdate(info, makeAdapter(layersOf(info.client, decoded.layers, plan, o)))
  if (decoded.kind === 'full' && trainable.kind === 'full')
    return makeUpdate(info, makeAdapter([], deltasOf(info.client, decoded.tensors, trainable)))
  if (decoded.kind === 'ffa' && trainable.kind === 'ffa') return ffaUpdate(info, decoded.tensors, plan)
  if (decoded.kind === 'fed-sb' && trainable.kind === 'fed-sb') return coreUpdate(info, decoded.tensors, plan)
  throw refusal(info.client, 'kinds', `tensors of kinds ${KINDS[decoded.kind]}`, KINDS[trainable.kind], FIX)
}

function layersOf(client: string, layers: readonly RawLayer[], plan: Plan, { isKept }: ParseOptions): AdapterLayer[] {
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
  const take =
    isKept && raws.every(({ a, b }) => isAligned(a) && isAligned(b))
      ? floatsIn
      : takeFloats(raws.reduce((total, { a, b }) => total + a.length + b.length, 0))
  return plan.layers.map((layer, i) => ({ ...layer, a: take(raws[i]?.a), b: take(raws[i]?.b) }))
}

function countOf({ layers }: Plan): number {
  return layers.reduce((sum, { rank, in: inDim, out }) => sum + rank * (inDim + out), 0)
}

/** Of a file with the plan's header: `data` are its tensors. */
function layersAt(data: Uint8Array, plan: Plan, header: PlanHeader, isKept: boolean): AdapterLayer[] {
  const kept = isKept && isAligned(data) ? data : Uint8Array.from(data)
  const take = ({ first, length }: PlanTensor) => new Float32Array(kept.buffer, kept.byteOffset + 4 * first, length)
  return plan.layers.map(({ name, in: inDim, out, rank, scale }, i) => {
    const { a, b } = header.factors[i] as PlanHeader['factors'][number]
    // Spread, each would be a table of its own: much garbage where many updates stream.
    return { name, in: inDim, out, rank, scale, a: take(a), b: take(b) }
  })
}

function deltasOf(client: string, deltas: readonly RawTensor[], { tensors }: FullTrainable): DenseDelta[] {
  const values = singlesOf(client, 'tensor', deltas, tensors)
  return tensors.map(({ name, shape }, i) => ({ name, shape: [...shape], values: values[i] as Float32Array }))
}

function ffaUpdate(info: UpdateInfo, tensors: readonly RawTensor[], plan: Plan): Update {
  const agreedB = plan.layers.map(({ name, out, rank }) => ({ name, shape: [out, rank] }))
  const values = singlesOf(info.client, 'layer', tensors, agreedB)
  const layers = sharedFactors(plan).map((layer, i) => ({ ...layer, b: values[i] as Float32Array }))
  return makeUpdate(info, { kind: 'ffa', adapter: makeAdapter(layers) })
}

function coreUpdate(info: UpdateInfo, tensors: readonly RawTensor[], plan: Plan): Update {
  const agreedR = plan.layers.map(({ name, rank }) => ({ name, shape: [rank, rank] }))
  const cores = singlesOf(info.client, 'layer', tensors, agreedR)
  const layers = sharedFactors(plan).map((layer, i) => withCore(layer, cores[i] as Float32Array))
  return makeUpdate(info, { kind: 'fed-sb', adapter: makeAdapter(layers), cores })
}

/** The numbers of an update with one tensor a name, in the plan's order. */
function singlesOf(
  client: string,
  what: string,
  tensors: readonly RawTensor[],
  plan: readonly { name: string; shape: readonly number[] }[],
): Float32Array[] {
  const raws = agreed(client, what, tensors, plan)
  for (const [i, { name, shape }] of plan.entries()) {
    const found = raws[i]?.shape.join(', ')
    if (found !== shape.join(', '))
      throw refusal(client, 'shape', `${what} '${name}' [${found}]`, `[${shape.join(', ')}]`, FIX)
  }
  return raws.map((raw) => floats(raw.values))
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

/** The bytes of an update file, not yet looked at. `room`: see readBoundedFile. */
export function readUpdateBytes(file: string, plan: Plan, room?: (bytes: number) => Uint8Array): Promise<Uint8Array> {
  return readBytes(file, Math.min(LIMITS.updateBytes, updateCount(plan) * 4 + LIMITS.updateHeaderBytes), room)
}

/** Numbers may lie in these bytes; another thread must not have them too. */
function isAligned({ buffer, byteOffset }: Uint8Array): boolean {
  return buffer instanceof ArrayBuffer && byteOffset % 4 === 0
}

function floatsIn(bytes: Uint8Array = new Uint8Array()): Float32Array {
  const { buffer, byteOffset, length } = bytes
  return new Float32Array(buffer, byteOffset, length / 4)
}

/** An aligned copy. */
function floats(bytes: Uint8Array = new Uint8Array()): Float32Array {
  return takeFloats(bytes.length)(bytes)
}

/** Aligned copies that share one block of `total` bytes: hundreds of small blocks cost more than what is copied. */
function takeFloats(total: number): (bytes?: Uint8Array) => Float32Array {
  const block = new Uint8Array(total)
  let at = 0
  return (bytes = new Uint8Array()) => {
    block.set(bytes, at)
    const copy = new Float32Array(block.buffer, at, bytes.length / 4)
    at += bytes.length
    return copy
  }
}
