/**
 * What FedAdagrad, FedAdam and FedYogi share: Reddi et al., "Adaptive federated optimization" (arXiv 2003.00295),
 * algorithm 2. They divide entry by entry, and no quotient of low-rank matrices has a low rank: mean step, second
 * moment and next start are one dense f32 matrix a layer each, also for LoRA.
 */
import { type Adapter, makeAdapter } from '../../adapter/adapter.js'
import type { DenseDelta } from '../../adapter/dense.js'
import { denseTensors } from '../../adapter/dense-tensors.js'
import type { ServerState, Strategy } from './strategy.js'

interface AdaptiveRule {
  serverLearningRate: number
  beta1: number
  tau: number
}

/** v' of one entry, from v and the square of the clients' mean step */
type SecondMoment = (v: number, squared: number) => number

/**
 * d = sum_i p_i w_i - w;  m <- beta1 m + (1 - beta1) d;  v <- second(v, d^2);  w <- w + eta_g m / (sqrt(v) + tau).
 * m begins at 0 and v at tau^2, as the paper has it, without correction for the bias of the beginning.
 */
export function adaptive(rule: AdaptiveRule, second: SecondMoment): Strategy {
  return {
    async step({ start, mean, state }) {
      const from = denseTensors(start)
      const kept = { first: denseTensors(state.first), second: denseTensors(state.second) }
      const next: DenseDelta[] = []
      const firsts: DenseDelta[] = []
      const seconds: DenseDelta[] = []
      for (const [name, { shape, values: to }] of denseTensors(mean)) {
        const count = to.length
        const old = from.get(name)?.values ?? new Float32Array(count)
        const m = kept.first.get(name)?.values ?? new Float32Array(count)
        const v = kept.second.get(name)?.values ?? new Float32Array(count).fill(rule.tau ** 2)
        next.push({ name, shape, values: adaptiveEntries(rule, second, old, to, m, v) })
        firsts.push({ name, shape, values: m })
        seconds.push({ name, shape, values: v })
      }
      const of = (dense: DenseDelta[]): Adapter => makeAdapter([], dense, mean.origin)
      const moments: ServerState = { first: of(firsts), second: of(seconds) }
      return { next: of(next), state: moments }
    },
  }
}

/** One tensor, in double; m and v are changed in place. Returns the next w. */
function adaptiveEntries(
  { serverLearningRate, beta1, tau }: AdaptiveRule,
  second: SecondMoment,
  start: Float32Array,
  mean: Float32Array,
  m: Float32Array,
  v: Float32Array,
): Float32Array {
  const next = new Float32Array(start.length)
  for (let i = 0; i < next.length; i++) {
    const w = start[i] as number
    const d = (mean[i] as number) - w
    const first = beta1 * (m[i] as number) + (1 - beta1) * d
    const squared = second(v[i] as number, d * d)
    m[i] = first
    v[i] = squared
    next[i] = w + (serverLearningRate * first) / (Math.sqrt(squared) + tau)
  }
  return next
}
