/**
 * One round whose updates come when they come: the server serves the mean of what is there and mends it with each
 * arrival, w_j = w_{j-1} + (n_j / N_j) (w_j^local - w_{j-1}), N_j the weights so far. By induction that is the weighted
 * mean of the first j, so every order of arrival ends at the one-shot mean.
 */
import type { Adapter } from '../../adapter/adapter.js'
import type { LayerJobs } from '../../aggregate/layers.js'
import { combine } from './combination.js'

export interface RunningMean {
  /** the mean of all that arrived, as something added to the base */
  adapter: Adapter
  /** the sum of their weights */
  weight: number
}

/** The mean with one more update in it; `before` undefined: the first. */
export async function arrive(
  before: RunningMean | undefined,
  update: Adapter,
  weight: number,
  jobs: LayerJobs = {},
): Promise<RunningMean> {
  const total = (before?.weight ?? 0) + weight
  const share = weight / total
  const terms = [
    { weight: share, adapter: update },
    ...(before === undefined ? [] : [{ weight: 1 - share, adapter: before.adapter }]),
  ]
  return { adapter: await combine(terms, jobs), weight: total }
}
