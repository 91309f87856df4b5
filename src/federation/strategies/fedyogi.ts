import { adaptive } from './adaptive.js'
import type { StrategyOf } from './strategy.js'

/** v <- v - (1 - beta2) d^2 sign(v - d^2) (Reddi et al., arXiv 2003.00295): v moves by d^2 however large it is itself. */
export const fedyogi: StrategyOf<'fedyogi'> = (rule) =>
  adaptive(rule, (v, squared) => v - (1 - rule.beta2) * squared * Math.sign(v - squared))
