/**
 * The mean of the factors of many update files (FedIT's rule) at the speed of memory: the files are mapped and read
 * once, and the same pass checks that all is finite, within the norm and not zero.
 */
import { availableParallelism } from 'node:os'
import { type Adapter, makeAdapter } from '../adapter/adapter.js'
import { OneroundError } from '../errors.js'
import { readSafetensorsHeader } from '../model/safetensors.js'
import { native } from '../native/load.js'
import { checkNorms, checkOrigin, checkStated, MAX_EFFECT } from '../update/checks.js'
import { decodeInfo, type UpdateInfo } from '../update/info.js'
import type { Plan, Weights } from '../update/plan.js'
import { refusal } from '../update/refusal.js'
import { resolveWeights } from './weights.js'

export interface FileMeanOptions {
  /** default: the plan's */
  weights?: Weights | undefined
  threads?: number | undefined
  /** digest of what the round started from; default: that of the first file */
  startSha256?: string | undefined
  round?: number | undefined
}

interface NamedTensor {
  name: string
  shape: number[]
}

/**
 * mean(A) and mean(B) by p_i, clients in the order of their names, in double: the adapter of the method `fedit`, bit for
 * bit, without its error. Rules are those of every aggregation but one: factors equal to the start's are not looked for.
 * @throws OneroundError REFUSED with client, rule, value and limit
 */
export async function averageFiles(
  plan: Plan,
  files: Iterable<string>,
  o: FileMeanOptions = {},
): Promise<{ adapter: Adapter; weights: Record<string, number> }> {
  const tensors = layout(plan)
  const heads: { path: string; offset: number; info: UpdateInfo }[] = []
  for (const path of files) heads.push(await head(path, tensors))
  const [first] = heads
  if (first === undefined)
    throw new OneroundError('ARGUMENT', 'There is nothing to aggregate.', {
      expected: 'at least one update file',
      fix: 'Give the update files of the round.',
    })
  const taken = new Set<string>()
  for (const { info } of heads) {
    checkOrigin(plan, { info }, { round: o.round ?? first.info.round, startSha256: o.startSha256 ?? first.info.startSha256, taken })
    checkStated(plan, { info })
    taken.add(info.client)
  }
  heads.sort((x, y) => (x.info.client < y.info.client ? -1 : 1))
  const weights = resolveWeights(
    o.weights ?? plan.aggregate.weights,
    heads.map(({ info }) => info),
  )
  const lengths = tensors.map(({ shape }) => shape.reduce((product, n) => product * n, 1))
  const counted = heads.filter(({ info }) => weights[info.client] !== 0)
  const { mean, squares } = await native().meanOfFiles(
    counted.map(({ path, offset, info }) => ({ path, offset, weight: weights[info.client] ?? 0 })),
    lengths,
    o.threads ?? availableParallelism(),
  )
  counted.forEach(({ info }, f) => {
    checkFile(plan, tensors, info.client, squares.subarray(f * tensors.length, (f + 1) * tensors.length))
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

async function head(
  path: string,
  tensors: readonly NamedTensor[],
): Promise<{ path: string; offset: number; info: UpdateInfo }> {
  const header = await readSafetensorsHeader(path)
  const info = decodeInfo(header.metadata, path)
  const fits =
    header.tensors.length === tensors.length &&
    header.tensors.every(
      ({ name, dtype, shape }, i) =>
        dtype === 'F32' && name === tensors[i]?.name && shape.join() === tensors[i]?.shape.join(),
    )
  if (!fits)
    throw refusal(
      info.client,
      'layers',
      'other tensors or another order of them',
      "the plan's layers as oneround writes them",
      "Train with this federation's plan.",
    )
  return { path, offset: header.tensors[0]?.offset ?? 0, info }
}

function checkFile(plan: Plan, tensors: readonly NamedTensor[], client: string, squares: Float64Array): void {
  const norms = new Map(tensors.map(({ name }, i) => [name, Math.sqrt(squares[i] ?? Number.NaN)]))
  const normOf = (name: string) => norms.get(name) ?? Number.NaN
  for (const layer of plan.layers)
    checkNorms(client, layer, [normOf(`${layer.name}.lora_A`), normOf(`${layer.name}.lora_B`)], MAX_EFFECT)
  if (plan.layers.some((layer) => normOf(`${layer.name}.lora_B`) > 0)) return
  throw refusal(client, 'non-zero', 'every lora_B is zero', 'changed by training', 'Check that the client trained at all.')
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
