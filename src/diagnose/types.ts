/** What a diagnosis says, as one JSON value. What its evidence cannot know is `{ unknown: reason }`, never a number. */
import type { Estimate, Interval } from './statistics.js'

export type EvidenceKind = 'client' | 'updates' | 'simulation'

export interface Unknown {
  unknown: string
}
export type Known<T> = T | Unknown

export function isKnown<T extends object>(value: Known<T>): value is T {
  return !('unknown' in value)
}

/** How far training goes, over merged weights: tau = ||w_T - w_0|| / ||w_0|| over the trained tensors. */
export interface Travel {
  tau: number
  /** ||w_T - w_0|| and ||w_0|| */
  distance: number
  baseNorm: number
  layers: { name: string; tau: number }[]
  /** tau after steps of local training, of one client */
  path: { step: number; tau: number }[]
  /** what was measured: a short run (`steps` of `ofSteps`), or the adapter of an arm */
  of: { what: string; steps?: number; ofSteps?: number }
}

/** L = ||g_B(u) - g_B(v)|| / ||u - v||, the same batch B at both points. */
export interface Smoothness {
  /** w_0 and the end of training */
  ends?: Estimate
  /** points that follow one another on the path */
  neighbours?: Estimate
  /** from w_0 in random directions, as far as training goes */
  random?: Estimate
  /** per tensor, over the start-end draws */
  layers: { name: string; mean: number; draws: number }[]
  /** whether the widest relative half-width is within the target; `target` is that */
  settled: boolean
  target: number
}

/** Second derivatives from the same gradients. */
export interface Curvature {
  /** d' H d / d' d along w_T - w_0, averaged between the two */
  alongPath: Estimate
  /** eigenvalue of the largest magnitude at w_0, by power iteration on one batch, and its last relative change */
  strongest?: { value: number; iterations: number; lastChange: number }
  /** ||g(w_T) - g(w_0)|| / ||g(w_0)||, the same batch: 0 where the gradient never turns and rounds change nothing */
  turn: Estimate
  /** cosine of the two gradients */
  alignment: Estimate
}

/** How unlike the gradients of batches, or of clients, are at w_0. */
export interface GradientNoise {
  /** E||g_B||^2 / ||g||^2 - 1 over batches of one step */
  relativeVariance: number
  batches: number
}
export interface Disagreement {
  /** sum_i p_i ||g_i - g||^2 / ||g||^2 */
  value: number
  clients: { client: string; relativeNorm: number; examples: number }[]
  /** all training examples, or how many of each client */
  examplesEach: number | 'all'
}

/** What the updates themselves say. */
export interface Similarity {
  clients: { client: string; norm: number; effectiveRank: number; toAggregate: number; outlier?: string }[]
  /** pairs of clients; `pairs` in the order of `clients`, the upper triangle by rows; compared clients only */
  compared: string[]
  cosines: number[]
  meanCosine: number
  /** ||sum p_i dW_i|| / sum p_i ||dW_i||: 1 where all agree, 1/sqrt(m) where none does */
  retention: number
  /** of the sum, and what the plan's rank, and averaging factors apart, lose of it */
  effectiveRank: number
  errors: { svd: number; fedit?: number }
}

/** ||w_multi - w_one|| beside what theory allows it to be. */
export interface Gap {
  one: string
  several: string
  /** measured, and relative to ||w_one - w_0|| */
  epsilon: number
  relative: number
  layers: { name: string; epsilon: number; relative: number }[]
  /** held-out loss on the straight line from w_one (t = 0) to w_multi (t = 1) */
  line?: { t: number; loss: number }[]
}
export interface Bounds {
  /** L tau T k m ||w_0||, as published (arXiv 2412.04650) */
  published: number
  /** 2 eta L tau (T-1) k ||w_0||, re-derived with weights that sum to 1 */
  rederived: number
  inputs: { L: number; tau: number; rounds: number; steps: number; clients: number; eta: number; baseNorm: number }
  /** false for AdamW: then both are heuristics */
  holds: boolean
}

/** Held-out loss at base + lambda * dW*. Fitted on a validation part, told on another. */
export interface LambdaCurve {
  points: { lambda: number; validation: number; test?: number }[]
  best: { lambda: number; validation: number; test?: number }
  /** the loss at lambda 1 on the same examples as best.test */
  atOne?: { test: number }
  perLayer?: { lambdas: { name: string; lambda: number }[]; validation: number; test: number; steps: number }
}

export interface Cost {
  links: { upMbit: number; downMbit: number; spread: number }
  rows: {
    what: string
    rounds: number
    bytesUp: number
    bytesDown: number
    /** of the slowest path: computing, carrying, and waiting for the slowest client of each round */
    computeSeconds: number
    linkSeconds: number
    waitSeconds: number
  }[]
  /** one client's computing for the whole horizon without stragglers; where from */
  secondsEach: number
  measured: string
}

/** 1xE against Ex1, paired by held-out example, over seeds. Positive: one round loses more. */
export interface PairedComparison {
  one: string
  several: string
  seeds: number[]
  items: number
  difference: number
  interval: Interval
  /** spread by examples and by seeds, as standard errors of the mean */
  errors: { items: number; seeds: number; freedom: number }
  perSeed: { seed: number; base: number; one: number; several: number; difference: number }[]
  gain: number
  margin: number
  marginShare: number
  /** P(difference < margin) */
  belowMargin: number
  bytesSaved: number
  bytesShare: number
}

/** Each side with its own settings, chosen on validation examples, told on test examples. */
export interface BestAgainstBest {
  one: Candidate
  several: Candidate
  candidates: { one: number; several: number }
  validationItems: number
  testItems: number
  difference: number
  interval: Interval
}
interface Candidate {
  arm: string
  learningRate: number
  lambda: number
  seeds: number
  validation: number
  test: number
}

export type VerdictKind = 'one-round-suffices' | 'one-round-costs' | 'several-rounds-needed' | 'not-enough-evidence'

export interface Verdict {
  kind: VerdictKind
  /** one sentence for a person */
  sentence: string
  /** the numbers that carry it */
  numbers: { name: string; value: number }[]
  /** 0 to 1; absent where nothing was decided */
  confidence?: number
  /** why the evidence is too little, and what would be enough */
  missing: { reason: string; enough: string }[]
  wouldChange: string[]
}

export interface Diagnosis {
  version: 1
  evidence: EvidenceKind
  plan: {
    sha256: string
    base: string
    clients: number
    rounds: number
    epochs: number
    learningRate: number
    optimizer: string
    trainable: string
  }
  travel: Known<Travel>
  smoothness: Known<Smoothness>
  curvature: Known<Curvature>
  noise: Known<GradientNoise>
  disagreement: Known<Disagreement>
  similarity: Known<Similarity>
  gap: Known<Gap>
  bounds: Known<Bounds>
  lambda: Known<LambdaCurve>
  cost: Known<Cost>
  comparison: Known<PairedComparison>
  best: Known<BestAgainstBest>
  /** what calibrated rules read, by name */
  features: Record<string, number>
  verdict: Verdict
  /** what this diagnosis cost beside the training it is about, in tokens read forward and back, and what it left open */
  spent: { rows: number; trainingRows: number; share: number; limit: number; unsettled: string[] }
  notes: string[]
}
