/** The exact sum as an adapter: what the server carries from round to round. */
import { type Adapter, makeAdapter } from '../adapter/adapter.js'
import type { OverlayLayer } from '../native/binding.js'
import type { Plan } from '../update/plan.js'
import type { Update } from '../update/update.js'
import { type LayerJobs, overLayers } from './layers.js'
import type { LayerSum } from './method.js'
import { byClient, checkOverlay, layerSum, summandOf } from './sums.js'
import { svdLayer } from './svd.js'
import { rawWeight, resolveWeights } from './weights.js'

/**
 * sum_i p_i s_i B_i A_i + overlay, at its numeric rank: B = U sqrt(S), A = sqrt(S) V', scale 1, directions in
 * descending order, so that the first r columns are the best rank-r part. Weights are the plan's. `overlay` is what
 * all clients of the round trained upon. The updates must have been checked (checkUpdate).
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
    summandOf(update, rawWeight(weights, update.info), shares[update.info.client] ?? 0),
  )
  const outcomes = await overLayers(
    plan.layers.map((layer) => fromFactors(layerSum(layer, summands, weights, overlay))),
    svdLayer,
    { rank: Number.MAX_SAFE_INTEGER },
    jobs,
  )
  return makeAdapter(
    outcomes.map((outcome) => outcome.layer),
    [],
    { base: plan.base.id },
  )
}

/** At full rank the dense sum has nothing to save, and the factors of a round's start must be in svd form. */
function fromFactors({ dense: _, ...sum }: LayerSum): LayerSum {
  return sum
}
