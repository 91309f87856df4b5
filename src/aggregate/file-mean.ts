/**
 * The mean of the factors of many update files (FedIT's rule) at the speed of memory: the files are mapped and read
 * once, and the same pass checks that all is finite, within the norm and not zero.
 */
import { availableParallelism } from 'node:os'
import { type Adapter, type AdapterLayer, makeAdapter } from '../adapter/adapter.js'
import { OneroundError } from '../errors.js'
import { readSafetensorsHeader } from '../model/safetensors.js'
import { LENGTH_BYTES } from '../model/safetensors-header.js'
import { native } from '../native/load.js'
import { checkNorms, checkOrigin, checkStated, MAX_EFFECT } from '../update/checks.js'
import { decodeInfo } from '../update/info.js'
import { type Plan, planSha256, type Weights } from '../update/plan.js'
import { type PlanHead, type PlanHeader, type PlanTensor, planHeader, readPlanHead } from '../update/plan-header.js'
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

interface Head extends PlanHead {
  path: string
}

/** Bytes that metadata takes at most: nine short fields. */
const METADATA_ROOM = 2048

const HEADS_AT_ONCE = 64

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
  const header = headerOf(plan)
  const { tensors } = header
  const paths = [...files]
  const heads: Head[] = []
  // Parts, so that memory does not grow with the number of files.
  for (let at = 0; at < paths.length; at += HEADS_AT_ONCE)
    heads.push(...(await headsOf(paths.slice(at, at + HEADS_AT_ONCE), header)))
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
  const lengths = tensors.map(({ length }) => length)
  const counted = sorted.filter(({ info }) => weights[info.client] !== 0)
  const { mean, squares } = await native().meanOfFiles(
    counted.map(({ path, offset, info }) => ({ path, offset, weight: weights[info.client] ?? 0 })),
    lengths,
    o.threads ?? availableParallelism(),
  )
  const places = placesOf(header)
  counted.forEach(({ info }, f) => {
    checkFile(plan, places, info.client, squares.subarray(f * tensors.length, (f + 1) * tensors.length))
  })
  return { adapter: makeAdapter(layersOf(plan, header, mean)), weights }
}

/** Files are taken for A and B of every layer. Where A is the plan's, a file that brings its own must not be averaged. */
function headerOf(plan: Plan): PlanHeader {
  const header = planHeader(plan)
  if (header !== undefined) return header
  throw new OneroundError('UNSUPPORTED', 'Only files of LoRA, with both factors, are averaged as they lie.', {
    found: plan.train.trainable.kind,
    expected: 'lora',
    fix: 'Aggregate them with openAggregator, or oneround aggregate.',
  })
}

/** Heads in the order of the paths; one read a file takes in the length and the header, since metadata is short. */
async function headsOf(paths: string[], header: PlanHeader): Promise<Head[]> {
  const size = LENGTH_BYTES + header.rest.length + METADATA_ROOM
  const { bytes, lengths } = await native().fileHeads(paths, size)
  const heads: Head[] = []
  for (const [i, path] of paths.entries()) {
    const found = lengths[i] ?? -1
    try {
      const head = found < 0 ? undefined : readPlanHead(bytes.subarray(i * size, i * size + found), header, path)
      if (head === undefined) throw refusedLayout(path)
      heads.push({ path, ...head })
    } catch (cause) {
      await explain(path, header.tensors)
      throw cause
    }
  }
  return heads
}

/** Throws what is wrong with a file that is not as expected, where its own reader knows it. */
async function explain(path: string, tensors: readonly PlanTensor[]): Promise<void> {
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
function placesOf({ tensors, factors }: PlanHeader): { a: number; b: number }[] {
  const places = new Map(tensors.map((tensor, i) => [tensor, i]))
  const placeOf = (tensor: PlanTensor) => places.get(tensor) ?? Number.NaN
  return factors.map(({ a, b }) => ({ a: placeOf(a), b: placeOf(b) }))
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

function layersOf(plan: Plan, { factors }: PlanHeader, mean: Float32Array): AdapterLayer[] {
  const take = ({ first, length }: PlanTensor) => mean.subarray(first, first + length)
  return plan.layers.map((layer, i) => {
    const { a, b } = factors[i] as PlanHeader['factors'][number]
    return { ...layer, a: take(a), b: take(b) }
  })
}
