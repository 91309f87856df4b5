import { OneroundError } from '../errors.js'
import type { Model } from '../model/open.js'
import { baseTensors } from '../model/tensors.js'
import { resolveLayers } from './layers.js'
import { parsePlan } from './plan.js'
import type { LoraTrainable, Method, Plan, PlanData, Share, Trainable, TrainOptions, Weights } from './plan-schema.js'
import { STRATEGY_KEYS, type StrategyOptions, strategyOptions } from './strategy-options.js'

/** The plan's fields in one flat list; what is left out takes the default. */
export interface PlanOptions
  extends Partial<Omit<TrainOptions, 'trainable'>>,
    Partial<PlanData>,
    Partial<Omit<LoraTrainable, 'kind'>>,
    StrategyOptions {
  /** what trains and travels: factors (default), or every tensor of the base */
  trainable?: Trainable['kind']
  /** who may send updates; none: anybody (default) */
  clients?: readonly string[]
  rounds?: number
  start?: 'carried' | 'fresh'
  method?: Method
  /** rank of the aggregate: a number, or 'auto' (default): the smallest with relative error <= 1e-3, at most twice the plan's */
  aggregateRank?: number | 'auto'
  weights?: Weights
  /** what an update may state beside the factors */
  share?: readonly Share[]
}

/** Options that only factors have. */
const LORA_KEYS = ['targets', 'rank', 'alpha', 'rankPattern', 'alphaPattern', 'rsLora', 'dropout', 'initA'] as const

function trainableOf(base: Model, o: PlanOptions): Trainable {
  if ((o.trainable ?? 'lora') === 'lora') return loraOf(o)
  if (o.trainable !== 'full') {
    throw new OneroundError('UNSUPPORTED', `There is no trainable '${String(o.trainable)}'.`, {
      found: String(o.trainable),
      expected: 'lora or full',
      fix: 'Give another trainable (--trainable).',
    })
  }
  const idle = LORA_KEYS.find((key) => o[key] !== undefined)
  if (idle !== undefined) {
    throw new OneroundError('ARGUMENT', `'${idle}' has no meaning where every tensor trains.`, {
      found: `trainable 'full' with ${idle}`,
      expected: "no option of factors beside trainable 'full'",
      fix: `Leave ${idle} out, or train factors.`,
    })
  }
  return { kind: 'full', tensors: baseTensors(base.spec).map(({ name, shape }) => ({ name, shape })) }
}

function loraOf(o: PlanOptions): LoraTrainable {
  const rank = o.rank ?? 16
  return {
    kind: 'lora',
    targets: o.targets ?? 'all-linear',
    rank,
    alpha: o.alpha ?? 2 * rank,
    rankPattern: o.rankPattern ?? {},
    alphaPattern: o.alphaPattern ?? {},
    rsLora: o.rsLora ?? false,
    dropout: o.dropout ?? 0,
    initA: o.initA ?? 'kaiming',
  }
}

/**
 * A plan for this base. Defaults: LoRA of rank 16, alpha twice the rank, on all linear layers; 3 epochs of batch 8 with
 * AdamW at 3e-4, cosine with 3 % warm-up, gradients clipped at 1; template 'text', cutoff 512 (or the base's longest),
 * a fifth held out; one round, svd with automatic rank, weights by examples; share examples, tokens and losses.
 * Weight decay is 0: in factors it would also shrink what earlier rounds learned, and so favour plans of one round.
 * With trainable 'full': a learning rate of 3e-5 and the method fedavg.
 */
export async function createPlan(base: Model, o: PlanOptions = {}): Promise<Plan> {
  checkKeys(o)
  const { maxPositions, linearLayers } = base.spec
  if (o.cutoff !== undefined && o.cutoff > maxPositions) {
    throw new OneroundError('ARGUMENT', 'cutoff is longer than the base can read.', {
      found: String(o.cutoff),
      expected: `at most ${maxPositions}`,
      fix: 'Lower cutoff.',
    })
  }
  const trainable = trainableOf(base, o)
  const isFull = trainable.kind === 'full'
  const { id, sha256, tokenizerSha256 } = await base.id()
  return parsePlan({
    version: 1,
    base: { id, sha256, tokenizerSha256 },
    layers: resolveLayers(linearLayers, trainable),
    train: {
      trainable,
      epochs: o.epochs ?? 3,
      batch: o.batch ?? 8,
      accumulate: o.accumulate ?? 1,
      learningRate: o.learningRate ?? (isFull ? 3e-5 : 3e-4),
      optimizer: o.optimizer ?? 'adamw',
      ...(o.momentum === undefined ? {} : { momentum: o.momentum }),
      ...(o.nesterov === undefined ? {} : { nesterov: o.nesterov }),
      ...(o.optimizerState === undefined ? {} : { optimizerState: o.optimizerState }),
      schedule: o.schedule ?? 'cosine',
      warmup: o.warmup ?? 0.03,
      weightDecay: o.weightDecay ?? 0,
      ...(o.weightDecayPattern === undefined ? {} : { weightDecayPattern: o.weightDecayPattern }),
      clipNorm: o.clipNorm ?? 1,
      seed: o.seed ?? 0,
      compute: o.compute ?? 'auto',
      ...(o.evaluateEvery === undefined ? {} : { evaluateEvery: o.evaluateEvery }),
      ...(o.patience === undefined ? {} : { patience: o.patience }),
    },
    data: {
      template: o.template ?? 'text',
      cutoff: o.cutoff ?? Math.min(512, maxPositions),
      lossOn: o.lossOn ?? 'all',
      heldOut: o.heldOut ?? 0.2,
    },
    rounds: o.rounds ?? 1,
    start: o.start ?? 'carried',
    ...strategyOptions(o),
    aggregate: {
      method: o.method ?? (isFull ? 'fedavg' : 'svd'),
      rank: o.aggregateRank ?? 'auto',
      weights: o.weights ?? 'examples',
    },
    share: o.share ?? ['examples', 'tokens', 'losses'],
    clients: (o.clients ?? []).map((name) => ({ name })),
  })
}

const KEYS: Readonly<Record<keyof PlanOptions, true>> = {
  trainable: true,
  targets: true,
  rank: true,
  alpha: true,
  rankPattern: true,
  alphaPattern: true,
  rsLora: true,
  dropout: true,
  initA: true,
  epochs: true,
  batch: true,
  accumulate: true,
  learningRate: true,
  optimizer: true,
  momentum: true,
  nesterov: true,
  optimizerState: true,
  schedule: true,
  warmup: true,
  weightDecay: true,
  weightDecayPattern: true,
  evaluateEvery: true,
  patience: true,
  clipNorm: true,
  seed: true,
  compute: true,
  template: true,
  cutoff: true,
  lossOn: true,
  heldOut: true,
  rounds: true,
  start: true,
  ...STRATEGY_KEYS,
  method: true,
  aggregateRank: true,
  weights: true,
  share: true,
  clients: true,
}

function checkKeys(o: PlanOptions): void {
  const unknown = Object.keys(o).find((key) => !Object.hasOwn(KEYS, key))
  if (unknown === undefined) return
  throw new OneroundError('ARGUMENT', `createPlan does not know the option '${unknown}'.`, {
    found: unknown,
    expected: Object.keys(KEYS).join(', '),
    fix: 'Correct or remove it.',
  })
}
