import { OneroundError } from '../errors.js'

/** The learning rate's shape over a whole horizon; the same in every arm of a comparison. */
export interface Schedule {
  kind: 'constant' | 'linear' | 'cosine'
  /** peak learning rate */
  learningRate: number
  /** share of all steps that rise to the peak, 0 to 1 */
  warmup: number
  /** optimizer steps of all rounds together */
  totalSteps: number
}

/** Optimizer steps of warm-up. */
function warmupSteps(warmup: number, totalSteps: number): number {
  return Math.round(warmup * totalSteps)
}

/**
 * The rate of the step numbered `step`, from 0, over the horizon. Warm-up rises linearly and reaches the peak at
 * its last step, so that no step has rate 0; linear and cosine fall towards 0, which the step after the last would have.
 */
export function learningRateAt(schedule: Schedule, step: number): number {
  const { kind, learningRate, totalSteps } = schedule
  if (step < 0 || step >= totalSteps) {
    throw new OneroundError('ARGUMENT', `Step ${step} lies outside the horizon.`, {
      found: `step ${step}`,
      expected: `0 to ${totalSteps - 1}`,
      fix: "Train with a round that is within the plan's rounds.",
    })
  }
  const warm = warmupSteps(schedule.warmup, totalSteps)
  if (step < warm) return (learningRate * (step + 1)) / warm
  const progress = (step - warm) / (totalSteps - warm)
  switch (kind) {
    case 'constant':
      return learningRate
    case 'linear':
      return learningRate * (1 - progress)
    case 'cosine':
      return learningRate * 0.5 * (1 + Math.cos(Math.PI * progress))
  }
}
