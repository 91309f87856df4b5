/** Values of clients from the worths of coalitions. */
import { addTo, allCoalitions, type Coalition, everybody, left, type Worth } from './coalition.js'

/** Beyond this many clients 2^m evaluations are too many, and orders of clients are sampled. */
export const MOST_EXACT = 10

/**
 * Shapley values (L. S. Shapley, "A value for n-person games", 1953), exact, part by part:
 *     phi_i = sum over S without i of |S|! (m - |S| - 1)! / m! (v(S + i) - v(S))
 * A worth counts with the plus where i is in and with the minus where it is not, so every coalition is read once a client.
 */
export function shapley(clients: number, worth: Worth): Float64Array[] {
  const values = Array.from({ length: clients }, () => new Float64Array(worth(everybody(clients)).length))
  const weights = orderShares(clients)
  for (const coalition of allCoalitions(clients)) {
    const size = sizeOf(coalition)
    const parts = worth(coalition)
    for (const [client, value] of values.entries()) {
      const isIn = coalition[client] === '1'
      addTo(value, isIn ? (weights[size - 1] ?? 0) : -(weights[size] ?? 0), parts)
    }
  }
  return values
}

/** v(everybody) - v(everybody but i). Equal clients can all have 0 while none of them is worthless. */
export function leaveOneOut(clients: number, worth: Worth): Float64Array[] {
  const all = everybody(clients)
  return Array.from({ length: clients }, (_, client) => {
    const value = worth(all).slice()
    addTo(value, -1, worth(left(all, client)))
    return value
  })
}

/** s! (m - s - 1)! / m! for s = 0 .. m-1: the share of orders in which a client comes after given s others. */
function orderShares(clients: number): number[] {
  const shares: number[] = []
  let ways = 1
  for (let size = 0; size < clients; size++) {
    shares.push(1 / (clients * ways))
    ways = (ways * (clients - 1 - size)) / (size + 1)
  }
  return shares
}

function sizeOf(coalition: Coalition): number {
  let size = 0
  for (const character of coalition) if (character === '1') size++
  return size
}
