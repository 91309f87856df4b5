import { adaptive } from './adaptive.js'
import type { StrategyOf } from './strategy.js'

/** v <- v + d^2 (Reddi et al., arXiv 2003.00295): steps only shrink. */
export const fedadagrad: StrategyOf<'fedadagrad'> = (rule) => adaptive(rule, (v, squared) => v + squared)
