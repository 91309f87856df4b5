/** epsilon = ||w_multi - w_one||, and the two bounds that theory sets beside it. */
import type { Adapter } from '../adapter/adapter.js'
import type { Plan } from '../update/plan.js'
import { effectNorms } from './effect.js'
import type { Bounds, Gap } from './types.js'

/** From the exact adapters of both arms; nothing dense is formed. */
export async function measureGap(
  one: Adapter,
  several: Adapter,
  names: { one: string; several: string },
): Promise<Gap> {
  const epsilon = await effectNorms({ adapter: several, weight: 1 }, { adapter: one, weight: -1 })
  const own = await effectNorms({ adapter: one, weight: 1 })
  const norms = new Map(own.tensors.map(({ name, norm }) => [name, norm]))
  return {
    ...names,
    epsilon: epsilon.norm,
    relative: epsilon.norm / own.norm,
    layers: epsilon.tensors
      .map(({ name, norm }) => ({ name, epsilon: norm, relative: norm / (norms.get(name) ?? Number.NaN) }))
      .filter(({ relative }) => Number.isFinite(relative)),
  }
}

/**
 * Published: L tau T k m ||w0|| (arXiv 2412.04650). Re-derived with sum p_i = 1 and equal first rounds:
 * 2 eta L tau (T - 1) k ||w0||. Both are about SGD; for AdamW they are heuristics.
 * @param rounds T, @param steps k: a client's steps in a round
 */
export function boundsOf(
  plan: Plan,
  o: { L: number; tau: number; baseNorm: number; rounds: number; steps: number; clients: number },
): Bounds {
  const eta = plan.train.learningRate
  const { L, tau, rounds, steps, clients, baseNorm } = o
  return {
    published: L * tau * rounds * steps * clients * baseNorm,
    rederived: 2 * eta * L * tau * (rounds - 1) * steps * baseNorm,
    inputs: { L, tau, rounds, steps, clients, eta, baseNorm },
    holds: plan.train.optimizer === 'sgd',
  }
}
