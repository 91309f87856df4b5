/** A plan's rule -> the code that does it. */
import { OneroundError } from '../../errors.js'
import type { StrategyRule } from '../../update/strategy-schema.js'
import { diloco } from './diloco.js'
import { fedadagrad } from './fedadagrad.js'
import { fedadam } from './fedadam.js'
import { fedavg } from './fedavg.js'
import { fedavgm } from './fedavgm.js'
import { fedyogi } from './fedyogi.js'
import type { Strategy } from './strategy.js'

/** Of the synchronous rules; fedbuff and running-mean take updates one by one (asynchronous.ts). */
export function strategyOf(rule: StrategyRule): Strategy {
  switch (rule.name) {
    case 'fedavg':
    case 'fedprox':
    case 'scaffold':
      return fedavg(rule)
    case 'fedavgm':
      return fedavgm(rule)
    case 'fedadagrad':
      return fedadagrad(rule)
    case 'fedadam':
      return fedadam(rule)
    case 'fedyogi':
      return fedyogi(rule)
    case 'diloco':
      return diloco(rule)
    case 'fedbuff':
    case 'running-mean':
      throw new OneroundError('UNSUPPORTED', `The strategy '${rule.name}' has no rounds to close.`, {
        found: rule.name,
        expected: 'a synchronous strategy',
        fix: 'Run it with simulate, which has a clock.',
      })
  }
}

/** Whether the rule's server remembers something from round to round, beside what goes down. */
export function keepsState({ name }: StrategyRule): boolean {
  return ['fedavgm', 'fedadagrad', 'fedadam', 'fedyogi', 'diloco'].includes(name)
}
