import { OneroundError } from '../errors.js'
import type { Score } from '../train/score.js'
import { type Plan, parsePlan, type StrategyName } from '../update/plan.js'
import { STRATEGY_NAMES, strategyRule } from '../update/strategy-schema.js'

/**
 * `RxE`: R rounds of E local epochs. Words behind it, each after a colon, say what differs from the plan: a strategy, a
 * start, the ablation; e.g. `3x1:fedadam:fresh`.
 */
export type ArmName = 'base' | 'client' | 'pooled' | `${number}x${number}` | `${number}x${number}:${string}`

/** The ablation: each client starts where the one before it ended. */
export const LEAK = 'shared-object-leak'

/** What an RxE arm's name says. */
export interface ArmShape {
  rounds: number
  epochs: number
  strategy?: StrategyName | undefined
  start?: Plan['start'] | undefined
  /** see LEAK; its result is of no federation */
  leak?: boolean | undefined
}

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
  /** of RxE: the server's rule, and how later rounds start */
  strategy?: StrategyName
  start?: Plan['start']
  /** what makes this arm a result of no federation */
  ablation?: typeof LEAK
  /** time until the last round closed on the simulated clock, in visits of the median client; only where clients differ */
  clock?: number
  /** computing on this machine: the clients' training one after another, and the aggregation; no evaluation of the arm */
  seconds: number
}

/** What an `RxE` arm is, from its name; undefined for the other names and for words that are not known. */
export function shapeOf(name: string): ArmShape | undefined {
  const [size = '', ...words] = name.split(':')
  const match = /^([1-9]\d{0,3})x((?:0|[1-9]\d{0,3})(?:\.\d{1,6})?)$/.exec(size)
  if (match === null || Number(match[2]) === 0) return undefined
  const shape: ArmShape = { rounds: Number(match[1]), epochs: Number(match[2]) }
  for (const word of words) {
    const strategy = STRATEGY_NAMES.find((one) => one === word)
    if (strategy !== undefined && shape.strategy === undefined) shape.strategy = strategy
    else if ((word === 'carried' || word === 'fresh') && shape.start === undefined) shape.start = word
    else if (word === LEAK && shape.leak === undefined) shape.leak = true
    else return undefined
  }
  return shape
}

/** Epochs over the whole horizon: what `client` and `pooled` train, and what the default arms share. */
export function horizonOf(plan: Plan): number {
  return rounded(plan.rounds * plan.train.epochs)
}

/** Products of fractions without the noise of their binary form: 3 rounds of 0.1 epochs are 0.3. */
function rounded(epochs: number): number {
  return Number(epochs.toFixed(6))
}

/** The plan's own arm. */
export function ownArm(plan: Plan): ArmName {
  return `${plan.rounds}x${plan.train.epochs}`
}

/** base, each client alone, one round, as many rounds as epochs, the plan's own arm, pooled: all at the plan's horizon. */
export function defaultCompare(plan: Plan): ArmName[] {
  const horizon = horizonOf(plan)
  const rounds: ArmName[] = [`1x${horizon}`, ownArm(plan)]
  if (Number.isInteger(horizon)) rounds.push(`${horizon}x1`)
  return ['base', 'client', ...new Set(rounds), 'pooled']
}

/** Checks the names; each stands once. An RxE arm must be among them: its adapter is what simulate returns. */
export function checkCompare(compare: readonly string[]): ArmName[] {
  for (const name of compare) {
    if (name === 'base' || name === 'client' || name === 'pooled' || shapeOf(name)) continue
    throw new OneroundError('ARGUMENT', `There is no arm '${name}'.`, {
      found: name,
      expected: `base, client, pooled, or RxE such as 1x3 (rounds x local epochs), with words such as 3x1:fedadam or 3x1:fresh: ${[...STRATEGY_NAMES, 'carried', 'fresh', LEAK].join(', ')}`,
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

/**
 * The plan with what an arm's name says; everything else is the same in all arms. A strategy that the plan has too keeps
 * the plan's numbers, another one has its defaults.
 */
export function planOfArm(plan: Plan, shape: ArmShape): Plan {
  const arm = { ...plan, rounds: shape.rounds, train: { ...plan.train, epochs: shape.epochs } }
  if (shape.start !== undefined) arm.start = shape.start
  const { strategy } = shape
  if (strategy === undefined || strategy === (plan.strategy?.name ?? 'fedavg')) return arm
  return { ...arm, strategy: strategyRule(strategy) }
}

function leakOfFull(name: string): OneroundError {
  return new OneroundError('UNSUPPORTED', `The arm ${name} is not built for full training.`, {
    found: `${LEAK} with train.trainable.kind 'full'`,
    expected: "train.trainable.kind 'lora'",
    fix: 'Take the ablation out of the name, or train factors.',
  })
}

/** The plans of all RxE arms contradict nothing: told before anything trains. */
export function checkArmPlans(plan: Plan, compare: readonly ArmName[]): void {
  for (const name of compare) {
    const shape = shapeOf(name)
    if (shape === undefined) continue
    const arm = planOfArm(plan, shape)
    parsePlan(arm, `The plan of arm ${name}`)
    const { name: strategy } = arm.strategy ?? { name: 'fedavg' }
    if (shape.leak && plan.train.trainable.kind === 'full') throw leakOfFull(name)
    if (!shape.leak || (strategy !== 'fedbuff' && strategy !== 'running-mean' && strategy !== 'scaffold')) continue
    throw new OneroundError('ARGUMENT', `The arm ${name} cannot be run.`, {
      found: `${LEAK} with ${strategy}`,
      expected: 'a strategy whose rounds train one client after another from one start',
      fix: 'Take the strategy or the ablation out of the name.',
    })
  }
}
