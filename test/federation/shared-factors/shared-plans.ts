/** Plans where B alone (ffa) or a core (fed-sb) trains and travels, behind factors that all clients share. */
import { afterAll, beforeAll } from 'vitest'
import type { Adapter } from '../../../src/adapter/adapter.js'
import { closeRound } from '../../../src/federation/server.js'
import { startOfRound } from '../../../src/train/start.js'
import { train } from '../../../src/train/train.js'
import type { PlanOptions } from '../../../src/update/create-plan.js'
import type { Plan } from '../../../src/update/plan.js'
import type { Update } from '../../../src/update/update.js'
import { settings, type TinyFederation, tinyFederation } from '../tiny.js'

export const kinds = ['ffa', 'fed-sb'] as const
type Kind = (typeof kinds)[number]
/** of the tensors that travel */
export const ending = { ffa: '.lora_B', 'fed-sb': '.core' }
export const optionsOf = (kind: Kind): PlanOptions => ({
  ...settings,
  trainable: kind,
  rank: 4,
  rankPattern: { v_proj: 2 },
  rsLora: true,
  learningRate: kind === 'ffa' ? 0.02 : 0.05,
})

/** Filled before the tests of the file that asked for it. */
interface SharedPlans {
  tiny: TinyFederation
  plans: Record<Kind, Plan>
  update(client: string, of: Plan, o?: object): Promise<Update>
}

export function sharedPlans(): SharedPlans {
  const shared = {
    update: (client, of, o = {}) => train(shared.tiny.base, shared.tiny.clients[client]!, of, { client, ...o }),
  } as SharedPlans
  beforeAll(async () => {
    const tiny = await tinyFederation()
    const plans = { ffa: await tiny.planOf(optionsOf('ffa')), 'fed-sb': await tiny.planOf(optionsOf('fed-sb')) }
    Object.assign(shared, { tiny, plans })
  })
  afterAll(() => shared.tiny[Symbol.asyncDispose]())
  return shared
}

export async function closed(of: Plan, updates: (Update | Uint8Array | string)[], before?: Adapter): Promise<Adapter> {
  const result = await closeRound(of, startOfRound(of, before === undefined ? 1 : 2, before), updates)
  return result.last ? result.served.adapter : result.exact
}
