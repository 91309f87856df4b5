/**
 * SCAFFOLD: Karimireddy, Kale, Mohri, Reddi, Stich, Suresh, "Stochastic controlled averaging for federated learning",
 * ICML 2020 (arXiv 1910.06378). Every client remembers its mean gradient c_i, the server their mean c, and each local
 * gradient is corrected by c - c_i, so that clients with other data do not drift apart.
 *
 * c_i lives in the coordinates of what trains, and is used a round after it was measured. Full training has one set of
 * coordinates for all rounds. LoRA has where every round begins with the same A and B = 0 (`fresh`, with round 1's A);
 * carried factors are the aggregate's singular vectors, other ones each round, so such plans are refused.
 */

/** Flat, as the session's parameters; zero before a client's first round. */
export type ControlVariate = Float32Array

/**
 * What client i adds to c_i after a round (option II): c_i' - c_i = -c - moved / sum of rates, `moved` the round's end minus
 * its start. Under plain SGD that makes c_i' the mean of the round's gradients: -moved sums rate (g - c_i + c).
 */
export function controlDifference(server: ControlVariate, moved: Float32Array, rates: number): ControlVariate {
  return server.map((c, i) => -(moved[i] as number) / rates - c)
}

/** c - c_i; without c_i it is zero, as before a client's first round */
export function correctionOf(server: ControlVariate, own: ControlVariate | undefined): Float32Array {
  return own === undefined ? server.slice() : server.map((c, i) => c - (own[i] as number))
}

/** c_i + d, or of the server c + share d, in place: one f32 addition a number wherever it is done */
export function addDifference(into: ControlVariate, difference: ControlVariate, share = 1): void {
  for (let i = 0; i < into.length; i++) into[i] = (into[i] as number) + share * (difference[i] as number)
}

/** The server's c, and each client's c_i as the client itself holds it: the sum of the differences it has sent. */
export class ControlVariates {
  readonly server: ControlVariate
  readonly #own = new Map<string, ControlVariate>()

  constructor(count: number) {
    this.server = new Float32Array(count)
  }

  /** c - c_i */
  correction(client: string): Float32Array {
    return correctionOf(this.server, this.#own.get(client))
  }

  /**
   * A client's difference arrives: c_i += d, c += share d. With |S| of N clients and weights p_i within S the share is
   * p_i |S| / N, which at equal weights is the paper's 1 / N.
   */
  take(client: string, difference: ControlVariate, share: number): void {
    const own = this.#own.get(client) ?? new Float32Array(this.server.length)
    this.#own.set(client, own)
    addDifference(own, difference)
    addDifference(this.server, difference, share)
  }
}
