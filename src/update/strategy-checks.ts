/** What a strategy needs of the rest of its plan. */
import type { Plan } from './plan-schema.js'

/** Throws what `refuse` makes of the first contradiction (what the plan says, what it must say instead). */
export function checkStrategy(plan: Plan, refuse: (found: string, expected: string) => Error): void {
  const { strategy, participation, train } = plan
  const listed = plan.clients.length
  const asked = listed === 0 ? Number.POSITIVE_INFINITY : askedCount(listed, participation?.fraction ?? 1)
  if (participation && participation.minimumClients > asked)
    throw refuse(
      `minimumClients ${participation.minimumClients} where a round asks ${asked} of ${listed}`,
      `at most ${asked}`,
    )
  if (strategy === undefined) return
  const { name } = strategy
  if ((name === 'fedbuff' || name === 'running-mean') && (participation?.fraction ?? 1) < 1)
    throw refuse(`${name} with a fraction of the clients`, 'all clients: they come when they are ready')
  if (name === 'running-mean' && plan.rounds !== 1)
    throw refuse(`running-mean over ${plan.rounds} rounds`, 'one round, which is what it is about')
  if (name === 'diloco' && train.optimizer !== 'adamw')
    throw refuse(`diloco with ${train.optimizer}`, "train.optimizer 'adamw', its inner optimizer")
  if (name === 'scaffold') checkScaffold(plan, refuse)
  if (name === 'running-mean' || !servesOwnStep(plan) || train.trainable.kind === 'full') return
  if (plan.aggregate.method !== 'svd')
    throw refuse(
      `${name} with the method '${plan.aggregate.method}'`,
      "aggregate.method 'svd': other methods are made of the clients' factors, which this server's step is not",
    )
}

/** How many of `clients` a round asks. */
export function askedCount(clients: number, fraction: number): number {
  return Math.min(clients, Math.max(1, Math.round(fraction * clients)))
}

/** Whether what is served differs from the clients' weighted mean. */
export function servesOwnStep({ strategy }: Plan): boolean {
  if (strategy === undefined || strategy.name === 'running-mean') return false
  const keeps = strategy.name === 'fedavg' || strategy.name === 'fedprox' || strategy.name === 'scaffold'
  return !keeps || strategy.serverLearningRate !== 1
}

/**
 * c_i is the mean gradient of a round, read off as (x - y) / sum of rates: true of SGD alone. And it is used a round
 * later, so the coordinates must still mean the same. Those of carried factors do not: each round they are the
 * aggregate's singular vectors anew. Fresh factors can, from the one A of the seed; full training does by itself.
 */
function checkScaffold({ train, start }: Plan, refuse: (found: string, expected: string) => Error): void {
  if (train.patience !== undefined)
    throw refuse('scaffold with patience', 'no patience: c_i is read off the whole way that was trained')
  if (train.optimizer !== 'sgd' || (train.momentum ?? 0) > 0 || train.clipNorm > 0 || train.weightDecay > 0)
    throw refuse(
      `scaffold with ${train.optimizer}, momentum ${train.momentum ?? 0}, clipNorm ${train.clipNorm}, weightDecay ${train.weightDecay}`,
      "plain SGD: train.optimizer 'sgd' without momentum, clipNorm 0, weightDecay 0",
    )
  if (train.trainable.kind === 'lora' && start === 'carried')
    throw refuse(
      'scaffold with carried factors, which are other coordinates in each round',
      "start 'fresh', or train.trainable.kind 'full'",
    )
}
