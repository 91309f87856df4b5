/**
 * Shapley values by sampling orders in which clients join (Castro, Gomez and Tejada, "Polynomial calculation of the
 * Shapley value based on sampling", 2009). Orders come in pairs, one the other backwards (antithetic): a client that comes
 * early in one comes late in the other, which takes most of the spread out where gains shrink with size (Mitchell et al.,
 * "Sampling permutations for Shapley value estimation", 2022). Nothing is truncated: cutting an order short once its worth
 * is near everybody's saves evaluations and biases the values of late comers to 0.
 */
import { permutation, STREAM } from '../data/random.js'
import { addTo, type Coalition, joined, nobody, total, type Worth } from './coalition.js'
import { standardError } from './interval.js'

interface Sampled {
  /** by client, part by part */
  values: Float64Array[]
  /** of each client's value, from the spread over pairs; none where there is one pair */
  errors: (number | undefined)[]
  /** independent draws: pairs of orders */
  pairs: number
}

/** Seeded orders of 0 .. clients-1, an even number of at least `samples`; each second one is that before it backwards. */
export function joiningOrders(clients: number, samples: number, seed: number): Int32Array[] {
  return Array.from({ length: Math.ceil(samples / 2) }, (_, pair) => {
    const order = permutation(clients, seed, STREAM.valuation, pair)
    return [order, order.toReversed()]
  }).flat()
}

/** Every coalition that the orders pass through, each once, in the order of passing. */
export function coalitionsOf(orders: readonly Int32Array[]): Coalition[] {
  const passed = new Set<Coalition>()
  for (const order of orders) {
    let coalition = nobody(order.length)
    passed.add(coalition)
    for (const client of order) {
      coalition = joined(coalition, client)
      passed.add(coalition)
    }
  }
  return [...passed]
}

/** The mean of what each client adds when it joins. Values sum to v(everybody) - v(nobody) whatever the orders. */
export function sampledShapley(orders: readonly Int32Array[], worth: Worth): Sampled {
  const clients = orders[0]?.length ?? 0
  const parts = worth(nobody(clients)).length
  const values = Array.from({ length: clients }, () => new Float64Array(parts))
  const draws: number[][] = values.map(() => [])
  for (let first = 0; first < orders.length; first += 2) {
    const gains = values.map(() => new Float64Array(parts))
    for (const order of orders.slice(first, first + 2)) addGains(gains, order, worth)
    for (const [client, gain] of gains.entries()) {
      addTo(values[client] ?? new Float64Array(), 1 / orders.length, gain)
      draws[client]?.push(total(gain) / 2)
    }
  }
  return { values, errors: draws.map(standardError), pairs: orders.length / 2 }
}

function addGains(gains: readonly Float64Array[], order: Int32Array, worth: Worth): void {
  let coalition = nobody(order.length)
  for (const client of order) {
    const before = worth(coalition)
    coalition = joined(coalition, client)
    const gain = gains[client] ?? new Float64Array()
    addTo(gain, 1, worth(coalition))
    addTo(gain, -1, before)
  }
}
