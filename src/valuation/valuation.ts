/** What clients are worth, as it is told and kept: valuation.json. */
import { z } from 'zod'
import { writeAtomic } from '../run/atomic.js'
import { checkJson, readJson } from '../update/checked-json.js'
import { LIMITS } from '../update/limits.js'

const FIX = 'Value the run again: oneround value.'

const sha256 = z.string().regex(/^[0-9a-f]{64}$/)
const number = z.number()
const count = z.number().int().min(0)
const name = z.string().min(1).max(64)

const clientSchema = z.strictObject({
  client: name,
  /** p_i of the plan's rule, summing to 1 */
  weight: z.number().min(0),
  /** nats a token by which this client lowers the held-out loss; all sum to baseLoss - loss */
  shapley: number,
  /** 95 %, over other texts like these and, where orders were sampled, over other orders */
  interval: z.tuple([number, number]).optional(),
  /** 95 %, over other orders alone; only where orders were sampled */
  samplingInterval: z.tuple([number, number]).optional(),
  /** how much the loss rises where this client alone stays out */
  leaveOneOut: number,
  /** 95 %, over other texts like these */
  leaveOneOutInterval: z.tuple([number, number]).optional(),
  /** of its update with the most like other one; absent where there is one client */
  nearest: z.strictObject({ client: name, cosine: z.number().min(-1).max(1) }).optional(),
})

const changeSchema = z.strictObject({
  before: number,
  after: number,
  tokens: count,
  standardError: z.number().min(0).optional(),
})

const valuationSchema = z.strictObject({
  version: z.literal(1),
  planSha256: sha256,
  round: z.number().int().min(1),
  /** of the text that clients were valued on */
  data: z.strictObject({ sha256, examples: count, tokens: count }),
  method: z.enum(['exact', 'sampled']),
  /** orders of clients; only where they were sampled */
  samples: count.optional(),
  seed: count,
  /** coalitions that the values were made from */
  evaluations: count,
  /** mean loss of the round's start (round 1: the base), nats a token */
  baseLoss: number,
  /** with all clients, summed exactly */
  loss: number,
  clients: z.array(clientSchema).min(1).max(LIMITS.clients),
  findings: z.array(
    z.strictObject({
      rule: z.enum(['harms', 'no-value', 'duplicate']),
      clients: z.array(name).min(1).max(2),
      text: z.string().max(1000),
    }),
  ),
  learned: z.array(
    z.strictObject({
      kind: z.enum(['weights', 'lambda']),
      weights: z.record(name, z.number().min(0)),
      lambda: z.number().min(0),
      steps: count,
      /** half of the text */
      fit: changeSchema,
      /** the other half, which nothing was fitted on */
      test: changeSchema,
    }),
  ),
})

export type Valuation = z.output<typeof valuationSchema>
export type ClientValue = Valuation['clients'][number]
export type Finding = Valuation['findings'][number]

export async function writeValuation(file: string, valuation: Valuation): Promise<void> {
  await writeAtomic(file, `${JSON.stringify(checkJson(valuationSchema, valuation, file, FIX), undefined, 2)}\n`)
}

/** @throws OneroundError NOT_FOUND, MALFORMED */
export async function readValuation(file: string): Promise<Valuation> {
  return readJson(file, LIMITS.receiptBytes, valuationSchema, FIX)
}
