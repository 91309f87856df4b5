import type { Adapter } from '../adapter/adapter.js'
import { splitCarried } from '../adapter/carried.js'
import { type InitA, initialAdapter } from '../adapter/initial.js'
import { OneroundError } from '../errors.js'
import type { OverlayLayer } from '../native/binding.js'
import { adapterSha256 } from '../update/digest.js'
import type { Plan } from '../update/plan.js'

/** What every client of a round starts from. */
export interface Start {
  round: number
  /** the factors that train: plan.layers, one for one, with the plan's scale */
  trained: Adapter
  /** what is added to the base without being trained: the rest of the exact aggregate; empty in round 1 */
  overlay: OverlayLayer[]
  /** digest of the adapter that defines the start: the seeded one in round 1, the exact aggregate later */
  sha256: string
}

/** Seed and kind of A's random start, as the plan says. */
function initOf(plan: Plan): { seed: number; initA: InitA } {
  const { trainable, seed } = plan.train
  return { seed, initA: trainable.kind === 'lora' ? trainable.initA : 'kaiming' }
}

/** Round 1: A from the plan's seed, B zero; the same for every client, so it travels as the seed in the plan. */
export function initialStart(plan: Plan): Start {
  const { seed, initA } = initOf(plan)
  const trained = initialAdapter(plan.layers, seed, initA)
  return { round: 1, trained, overlay: [], sha256: adapterSha256(trained) }
}

/**
 * The start of a round: the plan's seed in round 1, later (`carried`) the exact aggregate of the rounds before, whose
 * best rank-r part trains while the rest stays frozen beside the base.
 */
export function startOfRound(plan: Plan, round: number, exact: Adapter | undefined): Start {
  if (!Number.isSafeInteger(round) || round < 1 || round > plan.rounds) {
    throw new OneroundError('ARGUMENT', `Round ${round} is not in the plan.`, {
      found: String(round),
      expected: `1 to ${plan.rounds}`,
      fix: "Give a round within the plan's rounds.",
    })
  }
  if (round === 1) {
    if (exact === undefined) return initialStart(plan)
    throw new OneroundError('ARGUMENT', 'Round 1 starts from the seed in the plan.', {
      found: 'a start adapter',
      expected: 'none',
      fix: 'Leave out the start (--start), or give the round that it starts (--round).',
    })
  }
  if (exact === undefined) {
    throw new OneroundError('ARGUMENT', `Round ${round} needs the aggregate of round ${round - 1}.`, {
      found: 'no start adapter',
      expected: 'the folder that the server made',
      fix: 'Give it with --start (API: start).',
    })
  }
  const { trainable, overlay } = splitCarried(exact, plan.layers, initOf(plan))
  return { round, trained: trainable, overlay, sha256: adapterSha256(exact) }
}
