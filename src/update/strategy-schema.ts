/** The server's rule between rounds as a plan names it, with the few numbers that it takes. */
import { z } from 'zod'

/** eta_g: the share of the clients' mean step that the server takes */
const serverLearningRate = (rate: number) => z.number().positive().max(1000).default(rate)
/** decay of what the server remembers of earlier rounds */
const decay = (value: number) => z.number().min(0).lt(1).default(value)

/** tau keeps the division away from zero and says which entries count as small: those well below it are not levelled. */
const adaptive = {
  serverLearningRate: serverLearningRate(0.01),
  tau: z.number().positive().max(1).default(1e-3),
}

export const strategySchema = z.discriminatedUnion('name', [
  z.strictObject({ name: z.literal('fedavg'), serverLearningRate: serverLearningRate(1) }),
  z.strictObject({
    name: z.literal('fedprox'),
    /** weight of half the squared distance to the round's start, over merged weights */
    mu: z.number().min(0).max(1e6).default(0.01),
    serverLearningRate: serverLearningRate(1),
  }),
  z.strictObject({ name: z.literal('scaffold'), serverLearningRate: serverLearningRate(1) }),
  z.strictObject({
    name: z.literal('fedavgm'),
    serverLearningRate: serverLearningRate(1),
    serverMomentum: decay(0.9),
  }),
  z.strictObject({ name: z.literal('fedadagrad'), ...adaptive, beta1: decay(0) }),
  z.strictObject({ name: z.literal('fedadam'), ...adaptive, beta1: decay(0.9), beta2: decay(0.99) }),
  z.strictObject({ name: z.literal('fedyogi'), ...adaptive, beta1: decay(0.9), beta2: decay(0.99) }),
  z.strictObject({
    name: z.literal('diloco'),
    serverLearningRate: serverLearningRate(0.7),
    serverMomentum: decay(0.9),
  }),
  z.strictObject({
    name: z.literal('fedbuff'),
    /** updates that make one server step */
    buffer: z.number().int().min(1).max(100_000).default(2),
    /** an update that is s server steps old counts (1 + s) ^ -exponent */
    stalenessExponent: z.number().min(0).max(10).default(0.5),
    serverLearningRate: serverLearningRate(1),
  }),
  z.strictObject({ name: z.literal('running-mean') }),
])

export type StrategyRule = z.output<typeof strategySchema>
export type StrategyName = StrategyRule['name']

/** What a plan without a strategy means. */
export const FEDAVG: StrategyRule = { name: 'fedavg', serverLearningRate: 1 }

/** Every name, in the order of the docs. */
export const STRATEGY_NAMES = strategySchema.options.map((option) => option.shape.name.value) as StrategyName[]

/** The rule with its defaults filled in. */
export function strategyRule(name: StrategyName): StrategyRule {
  return strategySchema.parse({ name })
}
