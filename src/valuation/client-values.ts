import type { Update } from '../update/update.js'
import { type Coalition, nobody, total } from './coalition.js'
import type { Round } from './coalition-losses.js'
import { heldOutError, studentQuantile, together } from './interval.js'
import { sampledShapley } from './orders.js'
import { leaveOneOut, shapley } from './shapley.js'
import type { ClientValue } from './valuation.js'

/** @param alike cosines of all updates; @param orders sampled ones, where values are not exact */
export function clientValues(
  { updates, weights, heldOut }: Round,
  losses: (coalition: Coalition) => Float64Array,
  alike: Float64Array,
  orders: readonly Int32Array[] | undefined,
): ClientValue[] {
  const m = updates.length
  const tokens = total(heldOut.tokens)
  const shares = heldOut.tokens.map((count) => count / tokens)
  const none = losses(nobody(m))
  const worth = (coalition: Coalition) => losses(coalition).map((loss, part) => ((none[part] ?? 0) - loss) / tokens)
  const sampled = orders === undefined ? undefined : sampledShapley(orders, worth)
  const values = sampled?.values ?? shapley(m, worth)
  const alone = leaveOneOut(m, worth)
  const byText = (parts: Float64Array) => halfWidth(heldOutError(parts, shares), heldOut.parts - 1)
  return updates.map(({ info }, i): ClientValue => {
    const parts = values[i] ?? new Float64Array()
    const rest = alone[i] ?? new Float64Array()
    const bySampling = halfWidth(sampled?.errors[i], (sampled?.pairs ?? 0) - 1)
    const nearest = nearestOf(i, updates, alike)
    return {
      client: info.client,
      weight: weights[i] ?? 0,
      shapley: total(parts),
      interval: around(total(parts), together(bySampling, byText(parts))),
      samplingInterval: around(total(parts), bySampling),
      leaveOneOut: total(rest),
      leaveOneOutInterval: around(total(rest), byText(rest)),
      ...(nearest === undefined ? {} : { nearest }),
    }
  })
}

/** Of a 95 % interval. */
function halfWidth(error: number | undefined, degrees: number): number | undefined {
  return error === undefined || degrees < 1 ? undefined : error * studentQuantile(degrees)
}

function around(value: number, half: number | undefined): [number, number] | undefined {
  return half === undefined ? undefined : [value - half, value + half]
}

function nearestOf(own: number, updates: readonly Update[], alike: Float64Array): ClientValue['nearest'] {
  let best: ClientValue['nearest']
  for (const [other, { info }] of updates.entries()) {
    const cosine = alike[own * updates.length + other] ?? 0
    if (other !== own && (best === undefined || cosine > best.cosine)) best = { client: info.client, cosine }
  }
  return best
}
