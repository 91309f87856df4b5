/** The exact sum as an adapter: what the server carries from round to round. */
import { type Adapter, type AdapterLayer, type Layer, makeAdapter } from '../adapter/adapter.js'
import { type DenseDelta, weightOfLayer } from '../adapter/dense.js'
import { isConv1d } from '../adapter/peft-save.js'
import { turn } from '../model/tensors.js'
import type { OverlayLayer } from '../native/binding/overlay.js'
import { native } from '../native/load.js'
import type { Plan } from '../update/plan.js'
import type { Update } from '../update/update.js'
import { frozenFactors } from './frozen.js'
import { type LayerJobs, overLayers } from './layers.js'
import type { LayerSum } from './method.js'
import { byClient, checkOverlay, layerSum, summandOf } from './sums.js'
import { svdLayer } from './svd.js'
import { resolveWeights, weightOf } from './weights.js'

/**
 * sum_i p_i s_i B_i A_i + overlay, at its numeric rank: B = U sqrt(S), A = sqrt(S) V', scale 1, directions in
 * descending order, so that the first r columns are the best rank-r part. Where the directions behind the plan's rank
 * are more numbers than the layer's matrix, they come as that matrix instead, a dense delta beside the first r.
 * Weights are the plan's. `overlay` is what all clients of the round trained upon. The updates must have been checked (checkUpdate).
 */
export async function exactAggregate(
  plan: Plan,
  updates: Iterable<Update>,
  overlay: readonly OverlayLayer[] = [],
  jobs: LayerJobs = {},
): Promise<Adapter> {
  const sorted = byClient(updates)
  const { weights } = plan.aggregate
  const shares = resolveWeights(
    weights,
    sorted.map((update) => update.info),
  )
  checkOverlay(plan.layers, overlay)
  const summands = sorted.map((update) =>
    summandOf(update, weightOf(weights, update.info), shares[update.info.client] ?? 0),
  )
  const sums = plan.layers.map((layer) => fromFactors(layerSum(layer, summands, weights, overlay)))
  return splitSums(plan, sums, jobs)
}

/**
 * An adapter in the same form, so that a carried round can start from it: a strategy's step may have whole matrices where
 * the form wants the best rank-r part apart. Of full training and of plain factors it is that adapter.
 */
export async function exactForm(plan: Plan, exact: Adapter, jobs: LayerJobs = {}): Promise<Adapter> {
  if (plan.train.trainable.kind === 'full' || exact.dense.length === 0) return exact
  const known = new Map(exact.layers.map((layer) => [layer.name, layer]))
  const frozen = frozenFactors([], exact.dense)
  const sums = plan.layers.map(({ name, in: inDim, out, rank }) => {
    const layer = known.get(name)
    const parts = layer === undefined || layer.rank === 0 ? [] : [{ ...layer, client: 'the server', weight: 1 }]
    return { name, in: inDim, out, rank, parts, overlay: frozen.filter((part) => part.layer === name) }
  })
  return splitSums(plan, sums, jobs)
}

async function splitSums(plan: Plan, sums: readonly LayerSum[], jobs: LayerJobs): Promise<Adapter> {
  const outcomes = await overLayers(sums, svdLayer, { rank: Number.MAX_SAFE_INTEGER }, jobs)
  const layers: AdapterLayer[] = []
  const dense: DenseDelta[] = []
  for (const [i, { layer }] of outcomes.entries()) {
    const { rank } = plan.layers[i] as Layer
    const isShorter = (layer.rank - rank) * (layer.in + layer.out) > layer.in * layer.out
    layers.push(isShorter ? headOf(layer, rank) : layer)
    if (isShorter) dense.push(await restOf(layer, rank))
  }
  return makeAdapter(layers, dense, { base: plan.base.id })
}

/** The first `rank` directions. */
function headOf(layer: AdapterLayer, rank: number): AdapterLayer {
  const b = new Float32Array(layer.out * rank)
  for (let row = 0; row < layer.out; row++)
    b.set(layer.b.subarray(row * layer.rank, row * layer.rank + rank), row * rank)
  return { ...layer, rank, a: layer.a.slice(0, rank * layer.in), b }
}

/** scale times the product of the other directions, summed in double and rounded once. */
async function restOf({ name, in: inDim, out, rank, scale, a, b }: AdapterLayer, from: number): Promise<DenseDelta> {
  const behind = rank - from
  const columns = new Float32Array(out * behind)
  for (let row = 0; row < out; row++) columns.set(b.subarray(row * rank + from, (row + 1) * rank), row * behind)
  const rest = { rank: behind, a: a.subarray(from * inDim), b: columns, weight: scale }
  const { values } = await native().denseSum(inDim, out, [rest], new Float32Array(), 0)
  const isTurned = isConv1d(name)
  return {
    name: weightOfLayer(name),
    shape: isTurned ? [inDim, out] : [out, inDim],
    values: isTurned ? turn(values, out, inDim) : values,
  }
}

/** At full rank the dense sum has nothing to save, and the factors of a round's start must be in svd form. */
function fromFactors({ dense: _, denseFactors: __, ...sum }: LayerSum): LayerSum {
  return sum
}
