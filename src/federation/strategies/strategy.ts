/** What the server does between two rounds. */
import type { Adapter } from '../../adapter/adapter.js'
import type { LayerJobs } from '../../aggregate/layers.js'
import type { StrategyName, StrategyRule } from '../../update/strategy-schema.js'

/** What a rule remembers from round to round, by name; each entry is something that could be added to the base. */
export type ServerState = Readonly<Record<string, Adapter>>

/** A round whose updates are all there. Adapters are what is added to the base, exactly. */
interface ServerRound {
  /** what the clients started from; in round 1 an adapter without effect */
  start: Adapter
  /** where they ended on average: sum_i p_i dW_i */
  mean: Adapter
  /** what the rule kept of the round before; empty in round 1 */
  state: ServerState
  jobs?: LayerJobs | undefined
}

export interface ServerStep {
  /** what the next round starts from, or is served after the last one */
  next: Adapter
  state: ServerState
}

/** A rule with its numbers. It sees sums and never a client's update, so whatever hides single updates goes with it. */
export interface Strategy {
  step(round: ServerRound): Promise<ServerStep>
}

/** One file exports one of these. */
export type StrategyOf<Name extends StrategyName> = (rule: Extract<StrategyRule, { name: Name }>) => Strategy
