/** Strategy and participation among createPlan's flat options. */
import type { StrategyName } from './strategy-schema.js'

export interface StrategyOptions {
  /** the server's rule between rounds; default fedavg */
  strategy?: StrategyName
  /** of every strategy but running-mean; default 1, of the adaptive ones 0.01, of diloco 0.7 */
  serverLearningRate?: number
  /** fedavgm and diloco; default 0.9 */
  serverMomentum?: number
  /** fedadam and fedyogi, default 0.9; fedadagrad, default 0 */
  beta1?: number
  /** fedadam and fedyogi; default 0.99 */
  beta2?: number
  /** the adaptive strategies; default 1e-3 */
  tau?: number
  /** fedprox; default 0.01 */
  mu?: number
  /** fedbuff: updates that make one server step; default 2 */
  buffer?: number
  /** fedbuff; default 0.5 */
  stalenessExponent?: number
  /** part of the clients that each round asks; default 1 */
  fraction?: number
  /** updates without which a round is not closed; default 1 */
  minimumClients?: number
}

const numbers = [
  'serverLearningRate',
  'serverMomentum',
  'beta1',
  'beta2',
  'tau',
  'mu',
  'buffer',
  'stalenessExponent',
] as const satisfies readonly (keyof StrategyOptions)[]

const participation = ['fraction', 'minimumClients'] as const satisfies readonly (keyof StrategyOptions)[]

export const STRATEGY_KEYS: Readonly<Record<keyof StrategyOptions, true>> = {
  strategy: true,
  serverLearningRate: true,
  serverMomentum: true,
  beta1: true,
  beta2: true,
  tau: true,
  mu: true,
  buffer: true,
  stalenessExponent: true,
  fraction: true,
  minimumClients: true,
}

/** The plan's fields; a number that the strategy does not take is refused by the plan itself. */
export function strategyOptions(o: StrategyOptions): { strategy?: object; participation?: object } {
  const rule = picked(o, numbers)
  const agreed = picked(o, participation)
  return {
    ...(o.strategy === undefined && rule === undefined ? {} : { strategy: { name: o.strategy ?? 'fedavg', ...rule } }),
    ...(agreed === undefined ? {} : { participation: agreed }),
  }
}

function picked(o: StrategyOptions, names: readonly (keyof StrategyOptions)[]): object | undefined {
  const given = names.filter((name) => o[name] !== undefined).map((name) => [name, o[name]])
  return given.length > 0 ? Object.fromEntries(given) : undefined
}
