/**
 * NAME.losses.json: the second message of a federation by file. A client judges a few scalings of the aggregate on its
 * own held-out examples and sends the means: a few hundred bytes, from a closed list of keys.
 */
import { z } from 'zod'
import type { Adapter } from '../adapter/adapter.js'
import type { Dataset } from '../data/dataset.js'
import { OneroundError } from '../errors.js'
import type { Model } from '../model/open.js'
import { writeAtomic } from '../run/atomic.js'
import type { JobOptions } from '../train/job.js'
import { readJson } from '../update/checked-json.js'
import { adapterSha256 } from '../update/digest.js'
import { LIMITS } from '../update/limits.js'
import { type Plan, planSha256 } from '../update/plan.js'
import { LAMBDAS, lossAt } from './lambda.js'

const MOST_BYTES = 64 * 1024
/** Far above the loss of any guess over a vocabulary; a client could else shift the mean of all at will. */
const MOST_LOSS = 100

const sha256 = z.string().regex(/^[0-9a-f]{64}$/)
const schema = z.strictObject({
  'oneround.losses': z.literal(1),
  client: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/),
  plan: sha256,
  /** digest of the adapter that was scaled */
  aggregate: sha256,
  /** held-out examples and trained tokens that the means are over, where the plan shares such numbers */
  examples: z.number().int().min(1).max(LIMITS.count).optional(),
  tokens: z.number().int().min(1).max(LIMITS.count).optional(),
  losses: z
    .array(z.strictObject({ lambda: z.number(), loss: z.number().min(0).max(MOST_LOSS) }))
    .length(LAMBDAS.length)
    .refine((losses) => losses.every(({ lambda }, i) => lambda === LAMBDAS[i]), `lambdas ${LAMBDAS.join(', ')}`),
})

export type LossesMessage = z.output<typeof schema>

/** Judges the scalings on the client's held-out part. @throws OneroundError REFUSED where the plan shares no losses */
export async function makeLosses(
  base: Model,
  data: Dataset,
  plan: Plan,
  aggregate: Adapter,
  o: JobOptions & { client: string },
): Promise<LossesMessage> {
  if (!plan.share.includes('losses')) {
    throw new OneroundError('REFUSED', 'The plan lets no losses leave a client.', {
      found: `share: ${plan.share.join(', ') || 'nothing'}`,
      expected: "'losses' among what is shared",
      fix: 'Agree on a plan that shares losses.',
    })
  }
  const { heldOut } = data.heldOut(plan.data.heldOut)
  if (heldOut.tokens === 0) {
    throw new OneroundError('ARGUMENT', 'There is nothing held out to judge by.', {
      found: `${heldOut.count} held-out examples`,
      expected: 'at least one with a trained token',
      fix: 'Give more examples, or agree on a plan that holds some out.',
    })
  }
  const losses: LossesMessage['losses'] = []
  for (const lambda of LAMBDAS)
    losses.push({ lambda, loss: await lossAt(base, aggregate, lambda, heldOut.examples, o) })
  return schema.parse({
    'oneround.losses': 1,
    client: o.client,
    plan: planSha256(plan),
    aggregate: adapterSha256(aggregate),
    ...(plan.share.includes('examples') ? { examples: heldOut.count } : {}),
    ...(plan.share.includes('tokens') ? { tokens: heldOut.tokens } : {}),
    losses,
  })
}

export async function writeLosses(file: string, message: LossesMessage): Promise<void> {
  await writeAtomic(file, `${JSON.stringify(message, undefined, 2)}\n`)
}

/** Reads a message that may be hostile. */
export async function readLosses(file: string): Promise<LossesMessage> {
  return readJson(file, MOST_BYTES, schema, 'Have the client make its message again and send it unchanged.')
}

/** Before anything is averaged: one plan, one aggregate, known clients, each once, nothing stated that is not shared. */
export function checkLosses(plan: Plan, messages: readonly LossesMessage[], aggregateSha256?: string): void {
  const hash = planSha256(plan)
  const aggregate = aggregateSha256 ?? messages[0]?.aggregate
  const names = plan.clients.map(({ name }) => name)
  const seen = new Set<string>()
  const refuse = (client: string, rule: string, found: string, expected: string) => {
    throw new OneroundError(
      'REFUSED',
      `The losses of client '${client}' break the rule '${rule}': ${found}; must be ${expected}.`,
      {
        found,
        expected,
        fix: 'Have that client measure the aggregate of this federation once, by its plan.',
      },
    )
  }
  for (const message of messages) {
    const { client } = message
    if (message.plan !== hash) refuse(client, 'plan', message.plan, hash)
    if (message.aggregate !== aggregate) refuse(client, 'aggregate', message.aggregate, aggregate ?? '')
    if (names.length > 0 && !names.includes(client)) refuse(client, 'client', client, names.slice(0, 20).join(', '))
    if (seen.has(client)) refuse(client, 'once', 'a second message', 'one message a client')
    if (!plan.share.includes('losses')) refuse(client, 'share', 'losses', plan.share.join(', ') || 'nothing')
    for (const field of ['examples', 'tokens'] as const)
      if (message[field] !== undefined && !plan.share.includes(field)) refuse(client, 'share', field, 'not stated')
    seen.add(client)
  }
}
