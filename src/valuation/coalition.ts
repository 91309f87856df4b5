/**
 * A cooperative game over clients: every coalition has a worth. Here it is how much lower the held-out loss is than that of
 * nobody, but nothing in the values knows that.
 */

/** Who is in, one character a client in the order of the clients: '1' in, '0' out. */
export type Coalition = string

/** A coalition's worth, one number a part of the held-out text: their sum is the worth. All of one length. */
export type Worth = (coalition: Coalition) => Float64Array

export const nobody = (clients: number): Coalition => '0'.repeat(clients)
export const everybody = (clients: number): Coalition => '1'.repeat(clients)

export function joined(coalition: Coalition, client: number): Coalition {
  return `${coalition.slice(0, client)}1${coalition.slice(client + 1)}`
}

export function left(coalition: Coalition, client: number): Coalition {
  return `${coalition.slice(0, client)}0${coalition.slice(client + 1)}`
}

/** All 2^clients, from nobody on; bit i of the count is client i. */
export function allCoalitions(clients: number): Coalition[] {
  return Array.from({ length: 2 ** clients }, (_, mask) =>
    Array.from({ length: clients }, (__, client) => ((mask >>> client) & 1 ? '1' : '0')).join(''),
  )
}

/** Those that differ from everybody by one client, and the two ends. */
export function leaveOneOutCoalitions(clients: number): Coalition[] {
  const all = everybody(clients)
  return [nobody(clients), all, ...Array.from({ length: clients }, (_, client) => left(all, client))]
}

/** into += factor * values, part by part */
export function addTo(into: Float64Array, factor: number, values: Float64Array): void {
  for (let part = 0; part < into.length; part++) into[part] = (into[part] ?? 0) + factor * (values[part] ?? 0)
}

export function total(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value, 0)
}
