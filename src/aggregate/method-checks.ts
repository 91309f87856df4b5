/** What a method cannot do with these updates, or with what was kept of them, said before it begins. */
import { OneroundError } from '../errors.js'
import { canonicalJson } from '../update/canonical.js'
import type { Plan, Weights } from '../update/plan.js'
import type { Accumulator } from './accumulator.js'
import type { RankRule } from './method.js'
import { checkRank } from './ranks.js'
import { type AggregateMethod, methodTable, plainMethods } from './table.js'

/** A method that there is, for what these updates hold, with a rank only where it has one. */
export function checkMethod(
  method: AggregateMethod,
  rank: RankRule,
  plan: Plan,
): asserts method is Exclude<AggregateMethod, 'fedavg'> {
  if (!Object.hasOwn(methodTable, method)) {
    throw new OneroundError('UNSUPPORTED', `There is no method '${method}'.`, {
      found: String(method),
      expected: Object.keys(methodTable).join(', '),
      fix: 'Choose one of these methods.',
    })
  }
  const { only } = methodTable[method]
  if (method === 'fedavg' || (only !== undefined && only !== plan.train.trainable.kind)) throw otherKind(method, plan)
  checkRank(
    rank,
    plan.layers.map((layer) => layer.name),
  )
  if (rank !== 'auto' && !methodTable[method].takesRank) {
    throw new OneroundError('ARGUMENT', `The method '${method}' has no rank to choose.`, {
      found: `rank ${typeof rank === 'number' ? rank : JSON.stringify(rank)}`,
      expected: "rank 'auto'",
      fix: `Leave the rank out, or aggregate with the method 'svd'.`,
    })
  }
}

/** Sums are sums of one method's kind and under one rule of weights; what they cannot give is said. */
export function checkSummed(sums: Accumulator, method: AggregateMethod, weights: Weights): void {
  if (sums.grids.size === 0) return
  const fix = "Aggregate the update files again, keeping updates instead of sums (keep: 'updates')."
  const found = `only the sum of ${sums.grids.size} of ${sums.plan.layers.length} layers`
  if (!methodTable[method].fromDenseSum) {
    const able = Object.entries(methodTable).filter(([, facts]) => facts.fromDenseSum)
    throw new OneroundError('REFUSED', `The method '${method}' needs every client's update, and only sums were kept.`, {
      found,
      expected: `a method that works from them: ${able.map(([name]) => name).join(', ')}`,
      fix,
    })
  }
  const { weights: planned } = sums.plan.aggregate
  if (canonicalJson(weights) === canonicalJson(planned)) return
  throw new OneroundError('REFUSED', 'The clients were weighed when they were summed, and cannot be weighed anew.', {
    found,
    expected: `the plan's weights, ${JSON.stringify(planned).slice(0, 200)}`,
    fix,
  })
}

function otherKind(method: AggregateMethod, { train }: Plan): OneroundError {
  const { kind } = train.trainable
  return new OneroundError('ARGUMENT', `The method '${method}' is not for what these updates hold.`, {
    found: `method '${method}' with updates of kind '${kind}'`,
    expected: plainMethods.filter((name) => (methodTable[name].only ?? kind) === kind).join(', '),
    fix: 'Choose one of these methods.',
  })
}
