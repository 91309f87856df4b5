/**
 * FedAvgM: Hsu, Qi, Brown, "Measuring the effects of non-identical data distribution for federated visual
 * classification" (arXiv 1909.06335). Momentum at the server.
 */
import { combine, nothing } from './combination.js'
import type { StrategyOf } from './strategy.js'

/**
 * v <- beta v + (sum_i p_i w_i - w);  w <- w + eta_g v. Linear in the clients' steps, so v and w stay factors.
 */
export const fedavgm: StrategyOf<'fedavgm'> = ({ serverLearningRate, serverMomentum }) => ({
  async step({ start, mean, state, jobs }) {
    const velocity = await combine(
      [
        { weight: serverMomentum, adapter: state.velocity ?? nothing },
        { weight: 1, adapter: mean },
        { weight: -1, adapter: start },
      ],
      jobs,
    )
    const terms = [
      { weight: 1, adapter: start },
      { weight: serverLearningRate, adapter: velocity },
    ]
    return { next: await combine(terms, jobs), state: { velocity } }
  },
})
