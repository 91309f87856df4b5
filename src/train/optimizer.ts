import type { StepOptions } from '../native/binding/step.js'
import type { TrainOptions } from '../update/plan.js'

/** AdamW's constants, as in PyTorch's defaults; the plan fixes the rest. Source: Loshchilov and Hutter, arXiv 1711.05101. */
export const adamw = {
  optimizer: 'adamw',
  momentum: 0,
  nesterov: false,
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
} as const

/** A step's options but for what changes from step to step. */
export function optimizerOf(
  train: Pick<TrainOptions, 'optimizer' | 'momentum' | 'nesterov' | 'weightDecay' | 'clipNorm'>,
): Omit<StepOptions, 'learningRate' | 'seed'> {
  const { optimizer, momentum, nesterov, weightDecay, clipNorm } = train
  return { ...adamw, optimizer, momentum: momentum ?? 0, nesterov: nesterov ?? false, weightDecay, clipNorm }
}
