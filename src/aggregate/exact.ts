/** The exact sum as an adapter: what the server carries from round to round. */
import { type Adapter, makeAdapter } from '../adapter/adapter.js'
import type { OverlayLayer } from '../native/binding.js'
import type { Plan } from '../update/plan.js'
import type { Update } from '../update/update.js'
import { type LayerJobs, overLayers } from './layers.js'
import { byClient, layerSums } from './sums.js'
import { svdLayer } from './svd.js'
import { resolveWeights } from './weights.js'

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
  const weights = resolveWeights(
    plan.aggregate.weights,
    sorted.map((update) => update.info),
  )
  const outcomes = await overLayers(
    layerSums(plan.layers, sorted, weights, overlay),
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
