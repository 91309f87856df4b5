/**
 * What each method is and needs, in one place: the command line's help, the checks and the docs read it from here.
 * The target of all is the exact sum dW = sum_i p_i s_i B_i A_i over the clients i.
 */
import type { Method } from '../update/plan.js'

export interface MethodFacts {
  /** one sentence: the rule */
  rule: string
  /** the adapter's effect is the exact sum, up to f32 rounding (about 1e-7 relative) */
  exact: boolean
  /** clients may train one layer with different ranks */
  mixedRanks: boolean
  /** only sums over clients are needed, so that single updates may stay hidden behind masks */
  sumsOnly: boolean
  /** `aggregate --rank` has a meaning */
  takesRank: boolean
  /** every client's factors can be read out of the adapter */
  verbatim: boolean
  /** in words, R the sum of the clients' ranks */
  cost: string
  source: string
}

export const methodTable: Readonly<Record<Method, MethodFacts>> = {
  svd: {
    rule: 'The best adapter of a given rank: QR of the stacked factors, SVD of the small product.',
    exact: false,
    mixedRanks: true,
    sumsOnly: false,
    takesRank: true,
    verbatim: false,
    cost: '2 (in + out) R^2 multiplications a layer; no dense matrix',
    source: 'FlexLoRA, arXiv 2402.11505; FLoRIST, arXiv 2506.09199',
  },
  stack: {
    rule: "All clients' factors side by side, B = [B_1 .. B_m], A = [p_1 s_1 A_1; ..]: rank R.",
    exact: true,
    mixedRanks: true,
    sumsOnly: false,
    takesRank: false,
    verbatim: true,
    cost: 'a copy; the adapter is as large as all updates together',
    source: 'FLoRA, arXiv 2409.05976',
  },
  fedavg: {
    rule: 'Of whole tensors: start + sum_i p_i (w_i - start), in double, clients by name, rounded once.',
    exact: true,
    mixedRanks: false,
    sumsOnly: true,
    takesRank: false,
    verbatim: false,
    cost: 'one multiplication and addition a parameter and client; memory for one update and the sums',
    source: 'FedAvg, arXiv 1602.05629',
  },
  fedit: {
    rule: 'The mean of the A and the mean of the B, apart; off by sum p_i s (B_i - mean B)(A_i - mean A).',
    exact: false,
    mixedRanks: false,
    sumsOnly: true,
    takesRank: false,
    verbatim: false,
    cost: 'one addition a parameter and client; its error, which is reported, costs what svd costs',
    source: 'FedIT, arXiv 2305.05644',
  },
}
