/** What is served where a server's own step, and no sum of updates, is the result. */
import { type Adapter, makeAdapter } from '../adapter/adapter.js'
import { type DenseDelta, weightOfLayer } from '../adapter/dense.js'
import type { Plan } from '../update/plan.js'
import type { Aggregate } from './aggregator.js'
import { frozenFactors } from './frozen.js'
import { type LayerJobs, overLayers } from './layers.js'
import { relative } from './method.js'
import { svdLayer } from './svd.js'

/**
 * The best factors at the plan's aggregate.rank, as the method svd has them; of a layer that is factors and a matrix, of
 * their sum. What is a matrix alone is served as it is: a step that went entry by entry has no rank to cut at.
 */
export async function serveAdapter(
  plan: Plan,
  exact: Adapter,
  weights: Record<string, number>,
  jobs: LayerJobs = {},
): Promise<Aggregate> {
  const cut = new Set(exact.layers.map(({ name }) => weightOfLayer(name)))
  const rests = frozenFactors(
    [],
    exact.dense.filter(({ name }) => cut.has(name)),
  )
  const dense = exact.dense.filter(({ name }) => !cut.has(name))
  const ranks = new Map(plan.layers.map(({ name, rank }) => [name, rank]))
  const sums = exact.layers.map((layer) => ({
    name: layer.name,
    in: layer.in,
    out: layer.out,
    rank: ranks.get(layer.name) ?? layer.rank,
    parts: layer.rank === 0 ? [] : [{ ...layer, client: 'the server', weight: 1 }],
    overlay: rests.filter((rest) => rest.layer === layer.name),
  }))
  const outcomes = await overLayers(sums, svdLayer, { rank: plan.aggregate.rank }, jobs)
  const lost = Math.hypot(...outcomes.map((outcome) => outcome.lost))
  const norm = Math.hypot(...outcomes.map((outcome) => outcome.norm), denseNorm(dense))
  return {
    adapter: makeAdapter(
      outcomes.map((outcome) => outcome.layer),
      dense,
      { base: plan.base.id, method: plan.aggregate.method },
    ),
    method: plan.aggregate.method,
    weights,
    relativeError: relative(lost, norm),
    layers: outcomes.map(({ layer, lost: loss, norm: of }) => ({
      name: layer.name,
      rank: layer.rank,
      relativeError: relative(loss, of),
    })),
  }
}

function denseNorm(dense: readonly DenseDelta[]): number {
  let sum = 0
  for (const { values } of dense) for (const value of values) sum += value * value
  return Math.sqrt(sum)
}
