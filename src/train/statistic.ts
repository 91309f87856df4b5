/** Which statistics can be measured under a plan. */
import { OneroundError } from '../errors.js'
import type { Plan } from '../update/plan.js'
import type { StatisticKind } from '../update/statistic.js'
import { servesOwnStep } from '../update/strategy-checks.js'

const MEANING = {
  fisher: { kinds: ['lora'], why: 'fisher weighs factors that are both trained.' },
  regmean: { kinds: ['lora', 'ffa', 'fed-sb'], why: 'regmean weighs layers with factors.' },
} as const satisfies Record<StatisticKind, { kinds: readonly string[]; why: string }>

/** Throws where a plan's clients have no such statistic, or nobody will read it: before hours of training. */
export function checkStatistic(statistic: StatisticKind, plan: Plan, round: number): void {
  checkMeasurable(statistic, plan)
  if (servesOwnStep(plan))
    throw new OneroundError('UNSUPPORTED', 'A statistic weighs updates, and this server serves a step of its own.', {
      found: `strategy ${plan.strategy?.name}`,
      expected: 'a strategy that serves the mean',
      fix: 'Leave --statistic out.',
    })
  if (round === plan.rounds) return
  throw new OneroundError('ARGUMENT', 'A statistic is for the last round: between rounds the sum stays exact.', {
    found: `round ${round} of ${plan.rounds}`,
    expected: `round ${plan.rounds}`,
    fix: 'Leave --statistic out until then.',
  })
}

/** @throws OneroundError UNSUPPORTED where what trains has no such statistic */
export function checkMeasurable(statistic: StatisticKind, { train }: Plan): void {
  const { kind } = train.trainable
  const { kinds, why } = MEANING[statistic]
  if (kinds.some((name) => name === kind)) return
  throw new OneroundError('UNSUPPORTED', why, {
    found: `trainable ${kind}`,
    expected: `trainable ${kinds.join(', ')}`,
    fix: 'Choose another method, or train LoRA factors.',
  })
}
