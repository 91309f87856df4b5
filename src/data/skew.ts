/** Splits that make clients unlike each other: labels by Dirichlet shares, sizes by a power law. */
import { OneroundError } from '../errors.js'
import { dirichlet } from './dirichlet.js'
import { exp, ln } from './elementary.js'
import { Draws, permutation, STREAM } from './random.js'

/** Every client gets at least this many examples: one to train on and one to hold out. */
export const MIN_EXAMPLES = 2

/**
 * Label skew (Yurochkin et al. 2019; Li et al., NIID-Bench, 2022): of each label's examples, in a seeded order, client j
 * gets the share p_j of p ~ Dirichlet(alpha, ..., alpha), drawn anew for each label. A client that would hold fewer than
 * MIN_EXAMPLES then gets examples of the largest client, one at a time, of that client's most common label.
 * @param labels one an example
 * @returns each client's examples, ascending
 */
export function divideByLabel(labels: readonly string[], clients: number, alpha: number, seed: number): number[][] {
  checkCount(labels.length, clients)
  const byLabel = new Map<string, number[]>()
  labels.forEach((label, i) => {
    const members = byLabel.get(label)
    if (members) members.push(i)
    else byLabel.set(label, [i])
  })
  const parts: number[][] = Array.from({ length: clients }, () => [])
  const names = [...byLabel.keys()].sort()
  for (const [index, name] of names.entries()) {
    const members = byLabel.get(name) ?? []
    const shares = dirichlet(clients, alpha, new Draws(seed, STREAM.dirichlet, index))
    const order = permutation(members.length, seed, STREAM.dirichletOrder, index)
    let from = 0
    let sum = 0
    for (const [client, share] of shares.entries()) {
      sum += share
      // the last client takes what rounding left
      const to = client === clients - 1 ? members.length : Math.min(members.length, Math.round(sum * members.length))
      for (let at = from; at < to; at++) parts[client]?.push(members[order[at] as number] as number)
      from = Math.max(from, to)
    }
  }
  fillUp(parts, labels)
  for (const part of parts) part.sort((a, b) => a - b)
  return parts
}

/**
 * Size skew: client i of N, from 1, has MIN_EXAMPLES and i^-s / (1^-s + ... + N^-s) of all other examples, rounded by largest
 * remainder; which examples is a seeded permutation. With s = 0 all have the same size.
 */
export function divideBySize(count: number, clients: number, s: number, seed: number): number[][] {
  checkCount(count, clients)
  const powers = Array.from({ length: clients }, (_, i) => exp(-s * ln(i + 1)))
  const all = powers.reduce((a, b) => a + b)
  const rest = count - MIN_EXAMPLES * clients
  const wanted = powers.map((power) => (rest * power) / all)
  const sizes = wanted.map((size) => MIN_EXAMPLES + Math.floor(size))
  const left = count - sizes.reduce((a, b) => a + b)
  const byRemainder = wanted
    .map((size, i) => ({ i, remainder: size - Math.floor(size) }))
    .sort((a, b) => b.remainder - a.remainder || a.i - b.i)
  for (const { i } of byRemainder.slice(0, left)) sizes[i] = (sizes[i] as number) + 1
  const order = permutation(count, seed, STREAM.quantity)
  let at = 0
  return sizes.map((size) => {
    const part = Array.from(order.subarray(at, at + size)).sort((a, b) => a - b)
    at += size
    return part
  })
}

function fillUp(parts: number[][], labels: readonly string[]): void {
  for (const part of parts) {
    while (part.length < MIN_EXAMPLES) {
      const largest = parts.reduce((a, b) => (b.length > a.length ? b : a))
      const counts = new Map<string, number>()
      for (const i of largest) counts.set(labels[i] as string, (counts.get(labels[i] as string) ?? 0) + 1)
      const [common] = [...counts].reduce((a, b) => (b[1] > a[1] || (b[1] === a[1] && b[0] < a[0]) ? b : a))
      const taken = largest.findLastIndex((i) => labels[i] === common)
      part.push(...largest.splice(taken, 1))
    }
  }
}

function checkCount(count: number, clients: number): void {
  if (count >= MIN_EXAMPLES * clients) return
  throw new OneroundError('ARGUMENT', 'Too few examples for that many clients.', {
    found: `${count} examples for ${clients} clients`,
    expected: `at least ${MIN_EXAMPLES} examples a client`,
    fix: 'Lower the number of clients, or give more data.',
  })
}
