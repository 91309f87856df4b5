/**
 * What each method is and needs, in one place: the command line's help, the checks and docs/aggregation.md read it
 * from here. The target of all is the exact sum dW = sum_i p_i s_i B_i A_i over the clients i.
 */
import type { Method, Trainable } from '../update/plan.js'

/** A plan's methods, and those that need more than updates and so are chosen at the end only. */
export type AggregateMethod = Method | 'cat' | 'fisher' | 'regmean'

export interface MethodFacts {
  /** what must have trained; absent: any factors */
  only?: Trainable['kind']
  /** one sentence: the rule */
  rule: string
  /** the adapter's effect is the exact sum, up to f32 rounding (about 1e-7 relative) */
  exact: boolean
  /** clients may train one layer with different ranks */
  mixedRanks: boolean
  /** only sums over clients are needed, so that single updates may stay hidden behind masks */
  sumsOnly: boolean
  /** works where an aggregator kept only the sum dW of a layer */
  fromDenseSum: boolean
  /** `aggregate --rank` has a meaning */
  takesRank: boolean
  /** every client's factors can be read out of the adapter */
  verbatim: boolean
  /** options of `finish` that it reads, beside rank and weights */
  options: readonly string[]
  /** arithmetic, in words; R the sum of the clients' ranks, m their number */
  cost: string
  /** beside the factors of the layer at hand */
  memory: string
  /** of the adapter */
  rankOut: string
  source: string
}

const factors = {
  exact: false,
  mixedRanks: true,
  sumsOnly: false,
  fromDenseSum: false,
  takesRank: true,
  verbatim: false,
  options: [],
}
const dense = 'one dense layer, and 8 rows of each client'
const byRank = 'as --rank says'
const gramCost = 'all inner products, (in + out) R^2 / 2 multiplications a layer, then as svd'

export const methodTable: Readonly<Record<AggregateMethod, MethodFacts>> = {
  svd: {
    ...factors,
    rule: 'The best adapter of a given rank: QR of the stacked factors and SVD of the small product, or of the dense sum once that is smaller.',
    fromDenseSum: true,
    cost: '2 (in + out) R^2 multiplications a layer; from the dense sum in out R for the sum and 3 n^3 for n = min(in, out)',
    memory: 'the stacks in double, or one dense layer',
    rankOut: byRank,
    source: 'FlexLoRA, arXiv 2402.11505; FLoRIST, arXiv 2506.09199',
  },
  stack: {
    ...factors,
    rule: "All clients' factors side by side, B = [B_1 .. B_m], A = [p_1 s_1 A_1; ..].",
    exact: true,
    takesRank: false,
    verbatim: true,
    cost: 'a copy; the adapter is as large as all updates together',
    memory: 'the adapter',
    rankOut: 'R',
    source: 'FLoRA, arXiv 2409.05976',
  },
  fedit: {
    ...factors,
    rule: 'The mean of the A and the mean of the B, apart; off by sum p_i s (B_i - mean B)(A_i - mean A).',
    mixedRanks: false,
    sumsOnly: true,
    takesRank: false,
    cost: 'one addition a parameter and client; its error, which is reported, costs what svd costs',
    memory: 'one update',
    rankOut: "the plan's",
    source: 'FedIT, arXiv 2305.05644',
  },
  fedavg: {
    ...factors,
    only: 'full',
    rule: 'Of whole tensors: start + sum_i p_i (w_i - start), in double, clients by name, rounded once.',
    exact: true,
    mixedRanks: false,
    sumsOnly: true,
    takesRank: false,
    cost: 'one multiplication and addition a parameter and client',
    memory: 'one update and the sums',
    rankOut: 'whole tensors',
    source: 'FedAvg, arXiv 1602.05629',
  },
  residual: {
    ...factors,
    rule: 'The mean factors and, stacked behind them, factors of exactly what they miss.',
    exact: true,
    mixedRanks: false,
    takesRank: false,
    cost: 'as svd at full rank',
    memory: 'the stacks in double',
    rankOut: "the plan's plus the rest's, at most R + the plan's",
    source: 'FedEx-LoRA, arXiv 2410.09432',
  },
  ffa: {
    ...factors,
    rule: 'One frozen A that all clients share, and the mean of the B; refused where the A differ.',
    exact: true,
    mixedRanks: false,
    sumsOnly: true,
    takesRank: false,
    cost: 'one addition a parameter and client',
    memory: 'one update',
    rankOut: "the plan's",
    source: 'FFA-LoRA, arXiv 2403.12313',
  },
  'fed-sb': {
    ...factors,
    only: 'fed-sb',
    rule: 'Frozen B and A that all clients share, and the mean of the cores R_i: mean(B R) before A.',
    exact: true,
    mixedRanks: false,
    sumsOnly: true,
    takesRank: false,
    cost: 'one addition a number of B and client, and rank multiplications of each for B R_i',
    memory: 'one update',
    rankOut: "the plan's",
    source: 'Fed-SB, arXiv 2502.15436',
  },
  'task-arithmetic': {
    ...factors,
    rule: 'lambda times the exact sum; chooseLambda tunes it on held-out data.',
    sumsOnly: true,
    fromDenseSum: true,
    options: ['lambda'],
    cost: 'as svd',
    memory: 'as svd',
    rankOut: byRank,
    source: 'arXiv 2212.04089',
  },
  cat: {
    ...factors,
    rule: 'A weight for each client in each layer, given, or learned by learnLayerWeights.',
    options: ['layerWeights'],
    cost: 'as svd; learning costs one evaluation a step',
    memory: 'as svd',
    rankOut: byRank,
    source: 'LoRA Soups, arXiv 2410.13025',
  },
  ties: {
    ...factors,
    rule: 'By element: the small to zero, one sign elected by weight, the mean of what agrees with it. Trimming is by layer.',
    options: ['density', 'lambda'],
    cost: '2 in out R multiplications and a selection of in out a client, then svd of the dense result',
    memory: dense,
    rankOut: byRank,
    source: 'arXiv 2306.01708',
  },
  dare: {
    ...factors,
    rule: 'Elements of each update dropped at random and the others rescaled, then summed; its mean over seeds is the exact sum.',
    options: ['drop', 'seed'],
    cost: 'in out R multiplications and in out m draws, then svd of the dense result',
    memory: dense,
    rankOut: byRank,
    source: 'arXiv 2311.03099',
  },
  knots: {
    ...factors,
    rule: 'One SVD of the updates side by side gives a common basis; TIES merges the coordinates in it.',
    options: ['density', 'lambda'],
    cost: '2 (m in + out) R^2 multiplications for the basis and 2 m in R^2 for TIES',
    memory: 'm in R numbers in double',
    rankOut: byRank,
    source: 'arXiv 2410.19735',
  },
  fisher: {
    ...factors,
    rule: 'Each number of A and of B weighed by its squared gradient at the client; A and B apart.',
    mixedRanks: false,
    sumsOnly: true,
    takesRank: false,
    options: ['statistics'],
    cost: 'two additions a parameter and client; its error costs what svd costs',
    memory: 'one update and its statistic',
    rankOut: "the plan's",
    source: 'arXiv 2111.09832',
  },
  regmean: {
    ...factors,
    rule: "The update whose outputs are closest to each client's own on its own inputs: (sum p_i dW_i G_i)(sum p_i G_i)^-1, G_i = X_i' X_i.",
    sumsOnly: true,
    options: ['statistics'],
    cost: 'in^3 / 6 for the factor of G and in^2 R for the products, in plain TypeScript; a statistic of in^2 numbers a layer and client',
    memory: 'm in^2 numbers',
    rankOut: byRank,
    source: 'arXiv 2212.09849',
  },
  median: {
    ...factors,
    rule: 'The median of each element over the clients; weights are not looked at.',
    cost: 'in out R multiplications and a selection of m an element, then svd of the dense result',
    memory: dense,
    rankOut: byRank,
    source: 'arXiv 1803.01498',
  },
  'trimmed-mean': {
    ...factors,
    rule: 'The mean of each element without its largest and smallest values; weights are not looked at.',
    options: ['trim'],
    cost: 'in out R multiplications and a sort of m an element, then svd of the dense result',
    memory: dense,
    rankOut: byRank,
    source: 'arXiv 1803.01498',
  },
  krum: {
    ...factors,
    rule: 'The one update that is closest to its m - f - 2 nearest others, alone; weights are not looked at.',
    options: ['byzantine'],
    cost: gramCost,
    memory: 'R^2 numbers in double',
    rankOut: byRank,
    source: 'arXiv 1703.02757',
  },
  'multi-krum': {
    ...factors,
    rule: 'The plain mean of the m - f updates that krum likes best; weights are not looked at.',
    options: ['byzantine'],
    cost: gramCost,
    memory: 'R^2 numbers in double',
    rankOut: byRank,
    source: 'arXiv 1703.02757',
  },
  'geometric-median': {
    ...factors,
    rule: 'The point with the least weighted sum of distances to all updates, by Weiszfeld rounds on inner products.',
    cost: gramCost,
    memory: 'R^2 numbers in double',
    rankOut: byRank,
    source: 'RFA, arXiv 1912.13445',
  },
  'norm-clipping': {
    ...factors,
    rule: 'Updates longer than a bound (given, or the median length) are shortened to it, then summed.',
    options: ['clip'],
    cost: gramCost,
    memory: 'R^2 numbers in double',
    rankOut: byRank,
    source: 'arXiv 1911.07963',
  },
}

/** Those that the command line offers for factors: they need nothing but files and numbers. */
export const plainMethods = (Object.keys(methodTable) as AggregateMethod[]).filter(
  (name) => name !== 'fedavg' && !methodTable[name].options.includes('layerWeights'),
)
