import { OneroundError } from '../errors.js'
import type { Score } from '../train/score.js'
import type { Plan } from '../update/plan.js'

/** `RxE`: R rounds of E local epochs. */
export type ArmName = 'base' | 'client' | 'pooled' | `${number}x${number}`

/** One row of a comparison. */
export interface Arm {
  name: ArmName
  /** of a `client` arm: who trained alone */
  client?: string
  /** over all clients' held-out tokens together */
  overall: Score
  /** on each client's held-out part */
  perClient: Record<string, Score>
  /**
   * What would travel to the server, in bytes: the update files of all clients and rounds; of `pooled` the text of all
   * training parts (a character as one byte); of `base` and `client` nothing.
   */
  bytesUp: number
  /**
   * What would travel to the clients, all together: plan.json (it holds the seed, which is the whole start of round 1),
   * the exact aggregate that starts each later round, and the served adapter at the end.
   */
  bytesDown: number
  /** computing on this machine: the clients' training one after another, and the aggregation; no evaluation of the arm */
  seconds: number
}

/** The rounds and local epochs of an `RxE` arm; undefined for the other names. */
export function shapeOf(name: string): { rounds: number; epochs: number } | undefined {
  const match = /^([1-9]\d{0,3})x([1-9]\d{0,3})$/.exec(name)
  return match ? { rounds: Number(match[1]), epochs: Number(match[2]) } : undefined
}

/** Epochs over the whole horizon: what `client` and `pooled` train, and what the default arms share. */
export function horizonOf(plan: Plan): number {
  return plan.rounds * plan.train.epochs
}

/** The plan's own arm. */
export function ownArm(plan: Plan): ArmName {
  return `${plan.rounds}x${plan.train.epochs}`
}

/** base, each client alone, one round, as many rounds as epochs, the plan's own arm, pooled: all at the plan's horizon. */
export function defaultCompare(plan: Plan): ArmName[] {
  const horizon = horizonOf(plan)
  const rounds: ArmName[] = [`1x${horizon}`, ownArm(plan), `${horizon}x1`]
  return ['base', 'client', ...new Set(rounds), 'pooled']
}

/** Checks the names; each stands once. An RxE arm must be among them: its adapter is what simulate returns. */
export function checkCompare(compare: readonly string[]): ArmName[] {
  for (const name of compare) {
    if (name === 'base' || name === 'client' || name === 'pooled' || shapeOf(name)) continue
    throw new OneroundError('ARGUMENT', `There is no arm '${name}'.`, {
      found: name,
      expected: 'base, client, pooled, or RxE such as 1x3 (rounds x local epochs)',
      fix: 'Correct the list of arms (--compare).',
    })
  }
  if (!compare.some((name) => shapeOf(name))) {
    throw new OneroundError('ARGUMENT', 'A comparison needs a federated arm.', {
      found: compare.join(', ') || 'no arm',
      expected: 'at least one RxE, such as 1x3',
      fix: 'Add one to the list of arms (--compare); its adapter is the result.',
    })
  }
  return [...new Set(compare)] as ArmName[]
}

/**
 * Arms of one horizon must see the same examples. A plan with patience lets each client end when its own held-out loss
 * says so, which is another step in every arm: such a plan runs alone, or beside the base.
 */
export function checkHorizon(plan: Plan, compare: readonly ArmName[]): void {
  const trained = compare.filter((name) => name !== 'base')
  if (plan.train.patience === undefined || trained.length <= 1) return
  throw new OneroundError('ARGUMENT', 'Training that stops early cannot be compared at one horizon.', {
    found: `patience ${plan.train.patience} with the arms ${trained.join(', ')}`,
    expected: 'one arm that trains, such as 1x3, and base beside it',
    fix: `Give --compare base,${trained.find((name) => shapeOf(name)) ?? ownArm(plan)}, or leave patience out (--patience).`,
  })
}

/** The arm whose adapter is the result: the plan's own where it is compared, else the first RxE. */
export function resultArm(plan: Plan, compare: readonly ArmName[]): ArmName {
  const own = ownArm(plan)
  const first = compare.find((name) => shapeOf(name))
  return compare.includes(own) || first === undefined ? own : first
}

/** The plan with an arm's rounds and epochs; everything else is the same in all arms. */
export function planOfArm(plan: Plan, shape: { rounds: number; epochs: number }): Plan {
  return { ...plan, rounds: shape.rounds, train: { ...plan.train, epochs: shape.epochs } }
}
