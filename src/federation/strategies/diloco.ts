/**
 * DiLoCo: Douillard et al., "DiLoCo: distributed low-communication training of language models" (arXiv 2311.08105).
 * The clients' inner optimizer is AdamW, the server's outer one SGD with Nesterov momentum (0.7 and 0.9 in the paper).
 */
import { combine, nothing } from './combination.js'
import type { StrategyOf } from './strategy.js'

/**
 * v <- mu v + d;  w <- w + eta_g (d + mu v), d = sum_i p_i w_i - w. PyTorch's form of Nesterov's step. The first step
 * has v = d and so goes eta_g (1 + mu) d: at one round DiLoCo is task arithmetic with lambda 0.7 * 1.9 = 1.33.
 */
export const diloco: StrategyOf<'diloco'> = ({ serverLearningRate, serverMomentum }) => ({
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
      { weight: serverLearningRate, adapter: mean },
      { weight: 1 - serverLearningRate, adapter: start },
      { weight: serverLearningRate * serverMomentum, adapter: velocity },
    ]
    return { next: await combine(terms, jobs), state: { velocity } }
  },
})
