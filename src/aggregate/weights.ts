/** How much each client counts: p_i, summing to 1. Size is an option and never an assumption. */
import { OneroundError } from '../errors.js'
import type { Weights } from '../update/plan.js'
import type { UpdateInfo } from '../update/update.js'

/**
 * Normalised weights by client, in the order of `infos`. A given table may name clients that have sent nothing (the
 * plan's table is for all clients); a client without an entry is refused, so a misspelt name is found all the same.
 */
export function resolveWeights(weights: Weights, infos: readonly UpdateInfo[]): Record<string, number> {
  const raw = infos.map((info) => weightOf(weights, info))
  const total = raw.reduce((sum, weight) => sum + weight, 0)
  if (!(total > 0) || !Number.isFinite(total)) {
    throw new OneroundError('ARGUMENT', 'The weights of the clients do not sum to a positive number.', {
      found: infos.map((info, i) => `${info.client}: ${raw[i]}`).join(', ') || 'no clients',
      expected: 'at least one weight above 0',
      fix: 'Give at least one client a positive weight.',
    })
  }
  // fromEntries and not assignment: a client may be called __proto__.
  return Object.fromEntries(infos.map((info, i) => [info.client, (raw[i] ?? 0) / total]))
}

/** What a client counts before the weights are made to sum to 1: a count, 1, or the number given. Finite, at least 0. */
export function weightOf(weights: Weights, info: UpdateInfo): number {
  return checked(info.client, rawWeight(weights, info))
}

function rawWeight(weights: Weights, info: UpdateInfo): number {
  if (weights === 'uniform') return 1
  if (weights === 'examples' || weights === 'tokens') {
    const count = info[weights]
    if (count === undefined) {
      throw new OneroundError(
        'REFUSED',
        `The weights are by ${weights}, but the update of client '${info.client}' does not say how many it has.`,
        {
          found: `no ${weights} in the update`,
          expected: `a count of ${weights} in every update`,
          fix: `Put '${weights}' into the plan's share list and train again, or aggregate with --weights uniform or with weights given by name.`,
        },
      )
    }
    return count
  }
  const given = Object.hasOwn(weights, info.client) ? weights[info.client] : undefined
  if (given === undefined) {
    throw new OneroundError('ARGUMENT', `No weight is given for client '${info.client}'.`, {
      found: `weights for ${Object.keys(weights).join(', ') || 'nobody'}`,
      expected: 'a weight for every client that has an update',
      fix: `Add '${info.client}' to the weights (0 leaves it out), or remove its update.`,
    })
  }
  return given
}

function checked(client: string, weight: number): number {
  if (typeof weight === 'number' && Number.isFinite(weight) && weight >= 0) return weight
  throw new OneroundError('ARGUMENT', `The weight of client '${client}' is not usable.`, {
    found: String(weight),
    expected: 'a finite number of at least 0',
    fix: 'Correct the weight; 0 leaves the client out.',
  })
}
