/**
 * FedAvg: McMahan, Moore, Ramage, Hampson, Aguera y Arcas, "Communication-efficient learning of deep networks from
 * decentralized data", AISTATS 2017 (arXiv 1602.05629); with a server learning rate as Reddi et al. have it
 * (arXiv 2003.00295, algorithm 1 with SGD as the server's optimizer).
 */
import { combine } from './combination.js'
import type { StrategyOf } from './strategy.js'

/** w <- w + eta_g (sum_i p_i w_i - w). At eta_g = 1 the next start is the clients' exact mean, untouched. */
export const fedavg: StrategyOf<'fedavg' | 'fedprox' | 'scaffold'> = ({ serverLearningRate: rate }) => ({
  async step({ start, mean, jobs }) {
    if (rate === 1) return { next: mean, state: {} }
    const terms = [
      { weight: rate, adapter: mean },
      { weight: 1 - rate, adapter: start },
    ]
    return { next: await combine(terms, jobs), state: {} }
  },
})
