/** The plan's fields, what each may be, and what is known but not built yet. */
import { z } from 'zod'
import { parseTemplate } from '../data/templates.js'
import { LIMITS } from './limits.js'
import { strategySchema } from './strategy-schema.js'

const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'a SHA-256 in 64 lower-case hexadecimal digits')
/** without control characters; shown to people */
const label = z
  .string()
  .min(1)
  .max(300)
  .regex(/^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+$/u, 'text without control characters')
const layerName = z
  .string()
  .min(1)
  .max(LIMITS.layerName)
  .regex(/^[A-Za-z0-9_.-]+$/, 'a layer name of A-Z a-z 0-9 _ . -')
/** a safe file name on every system */
export const clientName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'at most 64 of A-Z a-z 0-9 . _ -, starting with a letter or digit')

const dimension = z.number().int().min(1).max(LIMITS.dimension)
const rank = z.number().int().min(1).max(LIMITS.rank)
const alpha = z.number().positive().max(1e6)
const patternKey = z
  .string()
  .min(1)
  .max(200)
  .refine((key) => key !== '__proto__', 'another key')

const layer = z.strictObject({
  name: layerName,
  in: dimension,
  out: dimension,
  rank,
  scale: z.number().positive().max(1e9),
})

/** Every tensor of the base, by its full name and Hugging Face's shape. */
const full = z.strictObject({
  kind: z.literal('full'),
  tensors: z
    .array(z.strictObject({ name: layerName, shape: z.array(dimension).min(1).max(2) }))
    .min(1)
    .max(LIMITS.layers),
})

/** What all kinds of factors have. */
const factors = {
  targets: z.union([z.literal('all-linear'), z.array(layerName).min(1).max(LIMITS.layers)]),
  rank,
  /** the effect is alpha / rank times B A */
  alpha,
  /** PEFT's rank_pattern: key -> rank of the layers it matches */
  rankPattern: z.record(patternKey, rank).default({}),
  alphaPattern: z.record(patternKey, alpha).default({}),
  /** alpha / sqrt(rank) instead */
  rsLora: z.boolean().default(false),
  dropout: z.number().min(0).lt(1).default(0),
}
const initA = z.enum(['kaiming', 'gaussian']).default('kaiming')

const lora = z.strictObject({ kind: z.literal('lora'), ...factors, initA })

/** A is frozen, from the plan's seed, and so the same at every client; B trains. FFA-LoRA, arXiv 2403.12313. */
const ffa = z.strictObject({ kind: z.literal('ffa'), ...factors, initA })

/** A and B are frozen, orthonormal, from the plan's seed; R [rank, rank] between them trains. After Fed-SB, arXiv 2502.15436. */
const fedSb = z.strictObject({ kind: z.literal('fed-sb'), ...factors })

const decay = z.number().min(0).max(10)

const train = z.strictObject({
  trainable: z.discriminatedUnion('kind', [full, lora, ffa, fedSb]),
  /** local epochs a round; a fraction makes rounds shorter than an epoch */
  epochs: z.number().positive().max(10_000),
  /** examples an optimizer step */
  batch: z.number().int().min(1).max(65_536),
  accumulate: z.number().int().min(1).max(65_536),
  learningRate: z.number().positive().max(10),
  optimizer: z.enum(['adamw', 'sgd']),
  /** sgd only; default 0 */
  momentum: z.number().min(0).lt(1).optional(),
  /** sgd only, with momentum: Nesterov's form; default false */
  nesterov: z.boolean().optional(),
  /** the optimizer's moments in a later round: zero again, or what the client itself kept; default reset */
  optimizerState: z.enum(['reset', 'kept']).optional(),
  schedule: z.enum(['constant', 'linear', 'cosine']),
  /** fraction of all steps */
  warmup: z.number().min(0).max(1),
  weightDecay: decay,
  /** decay of single layers or tensors, by keys as in rankPattern; the first key that matches counts */
  weightDecayPattern: z.record(patternKey, decay).optional(),
  /** 0: no clipping */
  clipNorm: z.number().min(0).max(1e9),
  seed: z
    .number()
    .int()
    .min(0)
    .max(2 ** 32 - 1),
  compute: z.enum(['auto', 'f32', 'bf16']),
  /** the client's loss on its own held-out part after so many optimizer steps each, or after every epoch */
  evaluateEvery: z.union([z.literal('epoch'), z.number().int().min(1).max(1e9)]).optional(),
  /** evaluations in a row without a new best loss after which a round's training stops; the best parameters are sent */
  patience: z.number().int().min(1).max(1e6).optional(),
})

const data = z.strictObject({
  /** `text`, `prompt-completion`, `alpaca`, `chat`, or a pattern with fields in braces; see data/templates.ts */
  template: z
    .string()
    .max(2000)
    .superRefine((value, context) => {
      try {
        parseTemplate(value)
      } catch (error) {
        context.addIssue({ code: 'custom', message: error instanceof Error ? error.message : 'not a template' })
      }
    }),
  /** tokens; longer examples are cut and counted */
  cutoff: z
    .number()
    .int()
    .min(2)
    .max(2 ** 24),
  lossOn: z.enum(['all', 'completion']),
  /** the last part of each client's examples, never trained on */
  heldOut: z.number().min(0).lt(1),
})

const SHARES = ['examples', 'tokens', 'losses'] as const
const share = z
  .array(z.enum(SHARES))
  .refine((fields) => new Set(fields).size === fields.length, 'each field once')
  // One order, so that the plan's hash does not depend on how it was typed.
  .transform((fields) => SHARES.filter((field) => fields.includes(field)))

/** Methods that need nothing but the updates; src/aggregate/table.ts says what each is. */
export const METHODS = [
  'svd',
  'stack',
  'fedit',
  'residual',
  'task-arithmetic',
  'ties',
  'dare',
  'knots',
  'median',
  'trimmed-mean',
  'krum',
  'multi-krum',
  'geometric-median',
  'norm-clipping',
  'fedavg',
  'ffa',
  'fed-sb',
] as const

const aggregate = z.strictObject({
  /** any but those of METHOD_OF take all factors */
  method: z.enum(METHODS),
  rank: z.union([z.literal('auto'), rank]),
  weights: z.union([z.enum(['examples', 'tokens', 'uniform']), z.record(clientName, z.number().positive().max(1e12))]),
})

export const planSchema = z.strictObject({
  version: z.literal(1),
  base: z.strictObject({ id: label, sha256, tokenizerSha256: sha256 }),
  /** with factors: those of `train.trainable`'s targets; none where whole tensors train */
  layers: z.array(layer).max(LIMITS.layers),
  train,
  data,
  rounds: z.number().int().min(1).max(LIMITS.rounds),
  /**
   * How a round after the first starts, always at the exact aggregate. carried: its best rank-r part trains on, the rest
   * is frozen; fresh: all of it is frozen beside the base, and new factors begin with B = 0
   */
  start: z.enum(['carried', 'fresh']).default('carried'),
  /** the server's rule between rounds; absent: fedavg */
  strategy: strategySchema.optional(),
  /** absent: all clients, and one is enough */
  participation: z
    .strictObject({
      /** part of the clients that a round asks, at least one of them */
      fraction: z.number().positive().max(1).default(1),
      /** updates without which a round is not closed */
      minimumClients: z.number().int().min(1).max(LIMITS.clients).default(1),
    })
    .optional(),
  aggregate,
  share,
  /** empty: any client may send an update */
  clients: z
    .array(
      z.strictObject({
        name: clientName,
        publicKey: z.never({ error: 'signed updates are not built yet' }).optional(),
      }),
    )
    .max(LIMITS.clients),
})

/** What a field's value means where it is agreed on but not built: refused by this name instead of as nonsense. */
export const NOT_BUILT: Readonly<Record<string, readonly string[]>> = {
  'aggregate.method': ['fisher', 'regmean', 'cat'],
}

export type Plan = z.output<typeof planSchema>
export type TrainOptions = Plan['train']
export type Trainable = TrainOptions['trainable']
export type LoraTrainable = Extract<Trainable, { kind: 'lora' }>
export type FactorTrainable = Exclude<Trainable, { kind: 'full' }>
export type FullTrainable = Extract<Trainable, { kind: 'full' }>
export type PlanData = Plan['data']
export type Method = Plan['aggregate']['method']
export type Weights = Plan['aggregate']['weights']
/** The method that is the exact mean of what a kind sends, and that no other kind can have. LoRA's factors have none. */
export const METHOD_OF = { full: 'fedavg', ffa: 'ffa', 'fed-sb': 'fed-sb' } as const satisfies Partial<
  Record<Trainable['kind'], Method>
>
export type Share = (typeof SHARES)[number]
