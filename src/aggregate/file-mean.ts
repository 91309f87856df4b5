/**
 * The mean of the factors of many update files (FedIT's rule) at the speed of memory: the files are mapped and read
 * once, and the same pass checks that all is finite, within the norm and not zero.
 */
import { availableParallelism } from 'node:os'
import { type Adapter, makeAdapter } from '../adapter/adapter.js'
import { OneroundError } from '../errors.js'
import { readSafetensorsHeader } from '../model/safetensors.js'
import { headerLength, LENGTH_BYTES, parseHeader } from '../model/safetensors-header.js'
import { native } from '../native/load.js'
import { checkNorms, checkOrigin, checkStated, MAX_EFFECT } from '../update/checks.js'
import { decodeInfo, type UpdateInfo } from '../update/info.js'
import { type Plan, planSha256, type Weights } from '../update/plan.js'
import { refusal } from '../update/refusal.js'
import { byClient } from './sums.js'
import { resolveWeights } from './weights.js'

export interface FileMeanOptions {
  /** default: the plan's */
  weights?: Weights | undefined
  threads?: number | undefined
  /** digest of what the round started from; default: that of the first file */
  startSha256?: string | undefined
  round?: number | undefined
}

interface Head {
  path: string
  /** of the first number */
  offset: number
  info: UpdateInfo
}

/** Bytes that metadata takes at most: nine short fields. */
const METADATA_ROOM = 2048

const HEADS_AT_ONCE = 64

interface NamedTensor {
  name: string
  shape: number[]
}

/**
 * mean(A) and mean(B) by p_i, clients in the order of their names, in double: the adapter of the method `fedit`, bit for
 * bit, without its error. Rules are those of every aggregation but one: factors equal to the start's are not looked for.
 * @throws OneroundError REFUSED with client, rule, value and limit; UNSUPPORTED: the plan trains not both factors
 */
export async function averageFiles(
  plan: Plan,
  files: Iterable<string>,
  o: FileMeanOptions = {},
): Promise<{ adapter: Adapter; weights: Record<string, number> }> {
  checkKind(plan)
  const tensors = layout(plan)
  const rest = Buffer.from(headerRest(tensors))
  const paths = [...files]
  const heads: Head[] = []
  // Parts, so that memory does not grow with the number of files.
  for (let at = 0; at < paths.length; at += HEADS_AT_ONCE)
    heads.push(...(await headsOf(paths.slice(at, at + HEADS_AT_ONCE), rest, tensors)))
  const [first] = heads
  if (first === undefined)
    throw new OneroundError('ARGUMENT', 'There is nothing to aggregate.', {
      expected: 'at least one update file',
      fix: 'Give the update files of the round.',
    })
  const taken = new Set<string>()
  const planHash = planSha256(plan)
  const round = o.round ?? first.info.round
  const startSha256 = o.startSha256 ?? first.info.startSha256
  for (const { info } of heads) {
    checkOrigin(plan, { info }, { round, startSha256, taken, planHash })
    checkStated(plan, { info })
    taken.add(info.client)
  }
  const sorted = byClient(heads)
  const weights = resolveWeights(
    o.weights ?? plan.aggregate.weights,
    sorted.map(({ info }) => info),
  )
  const lengths = tensors.map(({ shape }) => shape.reduce((product, n) => product * n, 1))
  const counted = sorted.filter(({ info }) => weights[info.client] !== 0)
  const { mean, squares } = await native().meanOfFiles(
    counted.map(({ path, offset, info }) => ({ path, offset, weight: weights[info.client] ?? 0 })),
    lengths,
    o.threads ?? availableParallelism(),
  )
  const places = placesOf(plan, tensors)
  counted.forEach(({ info }, f) => {
    checkFile(plan, places, info.client, squares.subarray(f * tensors.length, (f + 1) * tensors.length))
  })
  return { adapter: makeAdapter(layersOf(plan, tensors, lengths, mean)), weights }
}

/** The tensors of an update file in the order of their bytes: sorted by name. */
function layout(plan: Plan): NamedTensor[] {
  return plan.layers
    .flatMap((layer) => [
      { name: `${layer.name}.lora_A`, shape: [layer.rank, layer.in] },
      { name: `${layer.name}.lora_B`, shape: [layer.out, layer.rank] },
    ])
    .sort((x, y) => (x.name < y.name ? -1 : 1))
}

/** Files are taken for A and B of every layer. Where A is the plan's, a file that brings its own must not be averaged. */
function checkKind({ train }: Plan): void {
  const { kind } = train.trainable
  if (kind === 'lora') return
  throw new OneroundError('UNSUPPORTED', 'Only files of LoRA, with both factors, are averaged as they lie.', {
    found: kind,
    expected: 'lora',
    fix: 'Aggregate them with openAggregator, or oneround aggregate.',
  })
}

/** The header of an update file behind its metadata: the same for all files of a plan. */
function headerRest(tensors: readonly NamedTensor[]): string {
  let end = 0
  const entries = tensors.map(({ name, shape }) => {
    const begin = end
    end += 4 * shape.reduce((product, n) => product * n, 1)
    return `,${JSON.stringify(name)}:${JSON.stringify({ dtype: 'F32', shape, data_offsets: [begin, end] })}`
  })
  return `${entries.join('')}}`
}

/** Heads in the order of the paths; one read a file takes in the length and the header, since metadata is short. */
async function headsOf(paths: string[], rest: Buffer, tensors: readonly NamedTensor[]): Promise<Head[]> {
  const size = LENGTH_BYTES + rest.length + METADATA_ROOM
  const { bytes, lengths } = await native().fileHeads(paths, size)
  const heads: Head[] = []
  for (const [i, path] of paths.entries()) {
    const found = lengths[i] ?? -1
    try {
      if (found < 0) throw refusedLayout(path)
      heads.push(head(path, bytes.subarray(i * size, i * size + found), rest))
    } catch (cause) {
      await explain(path, tensors)
      throw cause
    }
  }
  return heads
}

/**
 * Metadata of a file whose header is, byte for byte, what oneround writes for this plan, so that only the metadata has
 * to be parsed. Another header is read as any safetensors file is, to say what is wrong with it.
 */
function head(path: string, bytes: Uint8Array, rest: Buffer): Head {
  const length = headerLength(bytes, Math.max(bytes.length, LENGTH_BYTES + 2), path)
  const text = Buffer.from(bytes.buffer, bytes.byteOffset + LENGTH_BYTES, Math.min(length, bytes.length - LENGTH_BYTES))
  let end = text.length
  while (text[end - 1] === 0x20) end--
  const at = end - rest.length
  if (at < 0 || text.length < length || !text.subarray(at, end).equals(rest)) throw refusedLayout(path)
  const { metadata } = parseHeader(Buffer.from(`${text.toString('utf8', 0, at)}}`), LENGTH_BYTES + at + 1, path)
  return { path, offset: LENGTH_BYTES + length, info: decodeInfo(metadata, path).info }
}

/** Throws what is wrong with a file that is not as expected, where its own reader knows it. */
async function explain(path: string, tensors: readonly NamedTensor[]): Promise<void> {
  const header = await readSafetensorsHeader(path)
  const { info } = decodeInfo(header.metadata, path)
  const fits =
    header.tensors.length === tensors.length &&
    header.tensors.every(({ name, dtype, shape }, i) => {
      const wanted = tensors[i]
      return dtype === 'F32' && name === wanted?.name && shape.join() === wanted.shape.join()
    })
  if (fits) return
  throw refusal(
    info.client,
    'layers',
    'other tensors or another order of them',
    "the plan's layers as oneround writes them",
    "Train with this federation's plan.",
  )
}

function refusedLayout(path: string): OneroundError {
  return new OneroundError('MALFORMED', `${path} is not a sound update: it has another header than oneround writes.`, {
    fix: 'Have the client train again and send its update file unchanged.',
  })
}

/** Of each layer of the plan, which tensors of a file are its A and its B. */
function placesOf(plan: Plan, tensors: readonly NamedTensor[]): { a: number; b: number }[] {
  const places = new Map(tensors.map(({ name }, i) => [name, i]))
  const placeOf = (name: string) => places.get(name) ?? Number.NaN
  return plan.layers.map(({ name }) => ({ a: placeOf(`${name}.lora_A`), b: placeOf(`${name}.lora_B`) }))
}

function checkFile(
  plan: Plan,
  places: readonly { a: number; b: number }[],
  client: string,
  squares: Float64Array,
): void {
  const normOf = (tensor = Number.NaN) => Math.sqrt(squares[tensor] ?? Number.NaN)
  for (const [i, layer] of plan.layers.entries())
    checkNorms(client, layer, [normOf(places[i]?.a), normOf(places[i]?.b)], MAX_EFFECT)
  if (places.some(({ b }) => normOf(b) > 0)) return
  throw refusal(
    client,
    'non-zero',
    'every lora_B is zero',
    'changed by training',
    'Check that the client trained at all.',
  )
}

function layersOf(
  plan: Plan,
  tensors: readonly NamedTensor[],
  lengths: readonly number[],
  mean: Float32Array,
): Parameters<typeof makeAdapter>[0] {
  const found = new Map<string, Float32Array>()
  let at = 0
  tensors.forEach(({ name }, i) => {
    const end = at + (lengths[i] ?? 0)
    found.set(name, mean.subarray(at, end))
    at = end
  })
  const take = (name: string) => found.get(name) ?? new Float32Array()
  return plan.layers.map((layer) => ({ ...layer, a: take(`${layer.name}.lora_A`), b: take(`${layer.name}.lora_B`) }))
}
