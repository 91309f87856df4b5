/** What clients add to the grid, and whether it fits there: alone, and with all others. */
import type { Layer } from '../adapter/adapter.js'
import { OneroundError } from '../errors.js'
import type { FactorPair } from '../native/binding/factors.js'
import { native } from '../native/load.js'
import type { Plan } from '../update/plan.js'
import { refusal } from '../update/refusal.js'
import type { UpdateInfo } from '../update/update.js'
import { gridStep, MOST_STEPS, MOST_SUM, onGrid } from './grid.js'
import type { Factors, Member } from './member.js'
import { weightOf } from './weights.js'

/** @param own the client's factors by layer, where the member has none any more */
export function addendOf(
  plan: Plan,
  layer: Layer,
  { info, factors }: Pick<Member, 'info' | 'factors'>,
  own?: ReadonlyMap<string, Factors>,
): FactorPair {
  const found = own?.get(layer.name) ?? factors.get(layer.name)
  if (found === undefined)
    throw new OneroundError('NATIVE', `The factors of client '${info.client}' are gone.`, {
      fix: 'Please report this as a defect.',
    })
  const { weights } = plan.aggregate
  return onGrid(layer, found, weightOf(weights, info), gridStep(weights))
}

/** Bound of the client's elements on the grid, in steps, over all layers. */
export function stepsOf(plan: Plan, info: UpdateInfo, factors: Map<string, Factors>): number {
  let steps = 0
  for (const layer of plan.layers) {
    const addend = addendOf(plan, layer, { info, factors })
    steps = Math.max(steps, native().elementBound(layer.in, layer.out, [addend]))
  }
  return steps
}

/** Refuses the first of `more` whose elements do not fit the grid, alone or on top of all before it. */
export function checkFits(
  members: Iterable<Pick<Member, 'steps'>>,
  more: readonly Pick<Member, 'info' | 'steps'>[],
): void {
  let total = 0
  for (const { steps } of members) total += steps
  for (const { info, steps } of more) {
    total += steps
    if (steps < MOST_STEPS && total < MOST_SUM) continue
    const [value, limit] = steps < MOST_STEPS ? [total, MOST_SUM] : [steps, MOST_STEPS]
    throw refusal(
      info.client,
      'grid',
      `elements of up to ${value.toExponential(2)} steps of the grid`,
      `below ${limit.toExponential(2)}`,
      "Keep updates instead of sums, or plan with weights 'uniform'.",
    )
  }
}
