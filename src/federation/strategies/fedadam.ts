import { adaptive } from './adaptive.js'
import type { StrategyOf } from './strategy.js'

/** v <- beta2 v + (1 - beta2) d^2 (Reddi et al., arXiv 2003.00295). */
export const fedadam: StrategyOf<'fedadam'> = (rule) =>
  adaptive(rule, (v, squared) => rule.beta2 * v + (1 - rule.beta2) * squared)
