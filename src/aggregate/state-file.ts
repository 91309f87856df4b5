/**
 * An aggregator's state as a file: safetensors with one tensor `factors/CLIENT` a client (F32, A then B of each layer
 * that is kept as factors, in the plan's order) and one tensor `sum/LAYER` a summed layer (I64, [out, in], steps of the
 * grid). The same clients give the same bytes, however they came. It is as confidential as the updates.
 */
import { createHash } from 'node:crypto'
import type { Layer } from '../adapter/adapter.js'
import { OneroundError } from '../errors.js'
import { readSafetensors, readSafetensorsHeader, type SafetensorsTensor } from '../model/safetensors.js'
import { writeAtomic } from '../run/atomic.js'
import { canonicalJson } from '../update/canonical.js'
import { checkLayers, MAX_EFFECT } from '../update/checks.js'
import { bytesOf } from '../update/digest.js'
import { encodeInfo } from '../update/info.js'
import { STATE_KEY } from '../update/inspect.js'
import { type Plan, planSha256 } from '../update/plan.js'
import { Accumulator } from './accumulator.js'
import type { LayerJobs } from './layers.js'
import type { Factors, Keep, Member } from './member.js'
import { checkGrid, checkSteps, malformedState, readMembers, type StatePlace } from './state-checks.js'

const VERSION = '1'
const KEYS = [STATE_KEY, 'plan', 'keep', 'clients', 'digest']

interface StateTensor {
  name: string
  dtype: 'F32' | 'I64'
  shape: number[]
  data: Uint8Array
}

/** Writes the file in one step. @returns the digest of what it holds */
export async function writeState(file: string, sums: Accumulator): Promise<{ sha256: string; bytes: number }> {
  const { metadata, tensors } = contentOf(sums)
  const sha256 = digestOf(metadata, tensors)
  const header = headerOf({ ...metadata, digest: sha256 }, tensors)
  await writeAtomic(file, [header, ...tensors.map((tensor) => tensor.data)])
  return { sha256, bytes: tensors.reduce((total, { data }) => total + data.length, header.length) }
}

/** The digest that a state file of these clients has; it does not depend on how they came. */
export function stateSha256(sums: Accumulator): string {
  const { metadata, tensors } = contentOf(sums)
  return digestOf(metadata, tensors)
}

function contentOf(sums: Accumulator): { metadata: Record<string, string>; tensors: StateTensor[] } {
  const members = sums.sorted()
  const tensors = [
    ...members.map((member) => factorsTensor(sums.plan, member)).filter((tensor) => tensor.data.length > 0),
    ...sums.plan.layers.flatMap((layer): StateTensor[] => {
      const grid = sums.grids.get(layer.name)
      if (grid === undefined) return []
      const data = new Uint8Array(grid.buffer, grid.byteOffset, grid.byteLength)
      return [{ name: `sum/${layer.name}`, dtype: 'I64', shape: [layer.out, layer.in], data }]
    }),
  ].sort((x, y) => (x.name < y.name ? -1 : 1))
  const metadata = {
    [STATE_KEY]: VERSION,
    plan: planSha256(sums.plan),
    keep: sums.keep,
    clients: canonicalJson(
      members.map(({ info, sha256, steps }) => ({ info: encodeInfo(info, 'lora'), sha256, steps: String(steps) })),
    ),
  }
  return { metadata, tensors }
}

/** Reads a state; everything in it is checked against the plan before anything is used. */
export async function readState(
  file: string,
  plan: Plan,
  place: StatePlace & LayerJobs,
  keep?: Keep,
): Promise<Accumulator> {
  const { metadata, tensors: entries } = await readSafetensorsHeader(file)
  const read = (key: string) => (Object.hasOwn(metadata, key) ? (metadata[key] ?? '') : '')
  const stranger = Object.keys(metadata).find((key) => !KEYS.includes(key))
  if (stranger !== undefined || read(STATE_KEY) !== VERSION)
    throw malformedState(file, stranger === undefined ? 'no known version' : `the key '${stranger.slice(0, 80)}'`)
  if (read('plan') !== planSha256(plan)) {
    throw new OneroundError('MISMATCH', `The state ${file} belongs to another plan.`, {
      found: `plan ${read('plan').slice(0, 64)}`,
      expected: `plan ${planSha256(plan)}`,
      fix: 'Give the plan that the state was made with.',
    })
  }
  const kept = read('keep')
  if (kept !== 'updates' && kept !== 'sums') throw malformedState(file, `it keeps '${kept.slice(0, 20)}'`)
  if (keep !== undefined && keep !== kept) {
    throw new OneroundError('MISMATCH', `The state ${file} keeps ${kept}, not ${keep}.`, {
      found: kept,
      expected: keep,
      fix: `Open it as it is, or aggregate the updates again with keep '${keep}'.`,
    })
  }
  const sums = new Accumulator(plan, kept, place)
  for (const member of readMembers(read('clients'), plan, kept, place, file))
    sums.members.set(member.info.client, member)
  const expected = expectedTensors(sums)
  for (const { name, dtype, shape } of entries) {
    const wanted = expected.get(name)
    if (wanted === undefined || wanted.dtype !== dtype || wanted.shape.join() !== shape.join())
      throw malformedState(
        file,
        `the tensor '${name.slice(0, 200)}' as ${dtype} [${shape}]`,
        wanted === undefined ? 'no such tensor' : `${wanted.dtype} [${wanted.shape}]`,
      )
  }
  if (entries.length !== expected.size) throw malformedState(file, `${entries.length} of ${expected.size} tensors`)

  const content = await readSafetensors(file)
  const { digest, ...rest } = content.metadata
  const tensors = [...expected.keys()].sort().map((name): StateTensor => {
    const found = content.tensors.get(name)
    const wanted = expected.get(name)
    if (found === undefined || wanted === undefined) throw malformedState(file, 'another content than a moment ago')
    return { name, dtype: wanted.dtype, shape: wanted.shape, data: found.data }
  })
  if (digestOf(rest, tensors) !== digest) throw malformedState(file, 'bytes that do not give its digest')
  for (const layer of plan.layers) readGrid(sums, layer, content.tensors.get(`sum/${layer.name}`), file)
  for (const member of sums.members.values())
    readFactors(sums, member, content.tensors.get(`factors/${member.info.client}`), file)
  return sums
}

/** What a state of these clients must hold, by tensor name. */
function expectedTensors(sums: Accumulator): Map<string, Pick<StateTensor, 'dtype' | 'shape'>> {
  const count = sums.members.size
  const expected = new Map<string, Pick<StateTensor, 'dtype' | 'shape'>>()
  let numbers = 0
  for (const layer of sums.plan.layers) {
    if (sums.isSummed(layer, count)) expected.set(`sum/${layer.name}`, { dtype: 'I64', shape: [layer.out, layer.in] })
    else numbers += layer.rank * (layer.in + layer.out)
  }
  if (numbers > 0)
    for (const client of sums.members.keys()) expected.set(`factors/${client}`, { dtype: 'F32', shape: [numbers] })
  return expected
}

function readGrid(sums: Accumulator, layer: Layer, tensor: SafetensorsTensor | undefined, file: string): void {
  if (tensor === undefined) return
  const grid = new BigInt64Array(tensor.data.buffer, tensor.data.byteOffset, layer.in * layer.out)
  checkGrid(sums.plan, layer, grid, [...sums.members.values()], file)
  sums.grids.set(layer.name, grid)
}

function readFactors(sums: Accumulator, member: Member, tensor: SafetensorsTensor | undefined, file: string): void {
  if (tensor === undefined) return
  const values = new Float32Array(tensor.data.buffer, tensor.data.byteOffset, tensor.data.length / 4)
  let at = 0
  for (const layer of sums.plan.layers) {
    if (sums.grids.has(layer.name)) continue
    // Copies, so that a layer that becomes a sum frees its factors.
    const middle = at + layer.rank * layer.in
    const end = middle + layer.out * layer.rank
    const factors: Factors = { a: values.slice(at, middle), b: values.slice(middle, end) }
    at = end
    checkLayers(member.info.client, [{ ...layer, ...factors }], MAX_EFFECT)
    if (sums.keep === 'sums') checkSteps(sums.plan, layer, member, factors, file)
    member.factors.set(layer.name, factors)
  }
}

function factorsTensor(plan: Plan, member: Member): StateTensor {
  const parts = plan.layers.flatMap((layer) => {
    const factors = member.factors.get(layer.name)
    return factors === undefined ? [] : [factors.a, factors.b]
  })
  const values = new Float32Array(parts.reduce((total, part) => total + part.length, 0))
  let at = 0
  for (const part of parts) {
    values.set(part, at)
    at += part.length
  }
  return { name: `factors/${member.info.client}`, dtype: 'F32', shape: [values.length], data: bytesOf(values) }
}

function digestOf(metadata: Readonly<Record<string, string>>, tensors: readonly StateTensor[]): string {
  const hash = createHash('sha256').update(`${canonicalJson(metadata)}\0`)
  for (const { name, dtype, shape, data } of tensors) hash.update(`${name}\0${dtype}\0${shape}\0`).update(data)
  return hash.digest('hex')
}

/** Length, JSON and padding to a multiple of 8; tensors follow in the order given. */
function headerOf(metadata: Readonly<Record<string, string>>, tensors: readonly StateTensor[]): Uint8Array {
  const entries: Record<string, unknown> = { __metadata__: metadata }
  let end = 0
  for (const { name, dtype, shape, data } of tensors) {
    entries[name] = { dtype, shape, data_offsets: [end, end + data.length] }
    end += data.length
  }
  const text = Buffer.from(JSON.stringify(entries))
  const length = Math.ceil(text.length / 8) * 8
  const header = Buffer.alloc(8 + length, 0x20)
  header.writeBigUInt64LE(BigInt(length))
  text.copy(header, 8)
  return header
}
