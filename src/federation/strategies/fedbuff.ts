/**
 * FedBuff: Nguyen, Malik, Zhan, Yousefpour, Rabbat, Malek, Huba, "Federated learning with buffered asynchronous
 * aggregation" (arXiv 2106.06639). Nobody waits for anybody: a client starts from whatever the server holds, and each
 * `buffer` updates make one step of the server.
 */
import type { Adapter } from '../../adapter/adapter.js'
import type { LayerJobs } from '../../aggregate/layers.js'
import type { StrategyRule } from '../../update/strategy-schema.js'
import { combine, type Term } from './combination.js'

export type FedBuffRule = Extract<StrategyRule, { name: 'fedbuff' }>

/** One update in the buffer. */
export interface Arrival {
  client: string
  /** the client's visit, from 1 */
  visit: number
  /** what the client ended with, as something added to the base; without what it did not train */
  end: Adapter
  /** what it started from, of the same layers: its step is end - start */
  start: Adapter
  /** server steps since that start */
  staleness: number
  /** p_i; within a buffer they are made to sum to 1 */
  weight: number
}

/** (1 + s) ^ -exponent; at the paper's 0.5 it is 1 / sqrt(1 + s) */
export function stalenessWeight({ stalenessExponent }: FedBuffRule, staleness: number): number {
  return (1 + staleness) ** -stalenessExponent
}

/**
 * w <- w + eta_g sum_i (p_i / sum p) s_i (end_i - start_i) over the buffer. The staleness weights are not made to sum to
 * 1: old steps shrink, they do not pass their share on. Equal weights give the paper's 1 / K. A full buffer of fresh
 * updates at eta_g = 1 is a round of FedAvg.
 */
export function fedbuffStep(
  rule: FedBuffRule,
  server: Adapter,
  buffer: readonly Arrival[],
  jobs: LayerJobs = {},
): Promise<Adapter> {
  const total = buffer.reduce((sum, arrival) => sum + arrival.weight, 0)
  // By name, so that the order within a buffer changes no bit.
  const sorted = [...buffer].sort((x, y) => (x.client < y.client ? -1 : x.client > y.client ? 1 : x.visit - y.visit))
  const terms = sorted.flatMap((arrival): Term[] => {
    const weight = (rule.serverLearningRate * stalenessWeight(rule, arrival.staleness) * arrival.weight) / total
    return [
      { weight, adapter: arrival.end },
      { weight: -weight, adapter: arrival.start },
    ]
  })
  return combine([{ weight: 1, adapter: server }, ...terms], jobs)
}
