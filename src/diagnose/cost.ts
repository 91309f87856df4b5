/** Bytes and seconds of one round and of several: computing, carrying, and waiting for the slowest client. */
import { Draws } from '../data/random.js'
import { DIAGNOSE_STREAM } from './statistics.js'
import type { Cost } from './types.js'

export interface Links {
  /** of each client, megabits a second */
  upMbit: number
  downMbit: number
  /** standard deviation of the logarithm of a client's time for one epoch, drawn anew each epoch */
  spread: number
}

/** A home connection, and clients that take half to twice the usual time in two epochs of three. */
export const USUAL_LINKS: Links = { upMbit: 10, downMbit: 50, spread: 0.5 }

const TRIALS = 2000

/**
 * Mean time until the slowest of m clients has done each round's epochs, over all rounds: sum over rounds of the
 * largest of m sums of lognormal epochs. One round waits once; several wait each time, for whoever is slow then.
 */
export function expectedCompute(
  clients: number,
  rounds: number,
  epochs: number,
  secondsEpoch: number,
  spread: number,
): number {
  if (spread === 0 || clients < 1) return rounds * epochs * secondsEpoch
  const draws = new Draws(0, DIAGNOSE_STREAM.stragglers, clients)
  const normal = () => Math.sqrt(-2 * Math.log(draws.uniform())) * Math.cos(2 * Math.PI * draws.uniform())
  // exp(s z - s^2 / 2) has mean 1, so a wider spread adds waiting and not work.
  const epoch = () => Math.exp(spread * normal() - (spread * spread) / 2)
  const trials = Math.max(50, Math.floor(TRIALS / Math.max(1, (clients * rounds * epochs) / 30)))
  let sum = 0
  for (let t = 0; t < trials; t++) {
    for (let r = 0; r < rounds; r++) {
      let slowest = 0
      for (let i = 0; i < clients; i++) {
        let own = 0
        for (let e = 0; e < epochs; e++) own += epoch()
        slowest = Math.max(slowest, own)
      }
      sum += slowest
    }
  }
  return (sum / trials) * secondsEpoch
}

interface CostInput {
  clients: number
  horizon: number
  /** one client's computing for the whole horizon */
  secondsEach: number
  measured: string
  /** of all clients and rounds */
  arms: { what: string; rounds: number; bytesUp: number; bytesDown: number }[]
}

export function costOf(input: CostInput, links: Links = USUAL_LINKS): Cost {
  const { clients, horizon, secondsEach } = input
  const secondsEpoch = secondsEach / horizon
  return {
    links,
    secondsEach,
    measured: input.measured,
    rows: input.arms.map(({ what, rounds, bytesUp, bytesDown }) => {
      const whole = expectedCompute(clients, rounds, horizon / rounds, secondsEpoch, links.spread)
      // Clients carry side by side, each its own share.
      const linkSeconds =
        (8 * bytesUp) / clients / (links.upMbit * 1e6) + (8 * bytesDown) / clients / (links.downMbit * 1e6)
      return {
        what,
        rounds,
        bytesUp,
        bytesDown,
        computeSeconds: secondsEach,
        linkSeconds,
        waitSeconds: whole - secondsEach,
      }
    }),
  }
}
