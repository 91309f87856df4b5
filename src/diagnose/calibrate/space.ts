/** The federations that rules are calibrated on: a stated space, drawn from by seed. */
import { Draws } from '../../data/random.js'
import { DIAGNOSE_STREAM } from '../statistics.js'

/** Lists are drawn from evenly; pairs of numbers are ends of a logarithmic range. */
export const SPACE = {
  clients: [2, 4, 8],
  /** how examples are dealt: alike, by president with Dirichlet's alpha, or each client one president */
  skew: ['iid', 'dirichlet:0.1:president', 'dirichlet:1:president', 'natural'],
  /** epochs of the horizon: one round has them all, the rival one each */
  horizon: [2, 3, 5],
  learningRate: [3e-4, 1e-2],
  rank: [4, 16],
  weights: ['embedded base', 'its random twin'],
  /** loss on all of an excerpt, or on its second half only */
  task: ['excerpt', 'second half'],
  examples: 192,
  heldOut: 0.5,
  cutoff: 40,
  batch: 4,
  seeds: 3,
} as const

export interface FederationSpec {
  index: number
  clients: number
  skew: string
  horizon: number
  learningRate: number
  rank: number
  pretrained: boolean
  task: 'excerpt' | 'second half'
  /** of the data */
  seed: number
}

export function drawFederation(seed: number, index: number): FederationSpec {
  const draws = new Draws(seed, DIAGNOSE_STREAM.federations, index)
  const one = <T>(list: readonly T[]): T => list[Math.floor(draws.uniform() * list.length)] as T
  const [least, most] = SPACE.learningRate
  return {
    index,
    clients: one(SPACE.clients),
    skew: one(SPACE.skew),
    horizon: one(SPACE.horizon),
    learningRate: Number((least * (most / least) ** draws.uniform()).toPrecision(3)),
    rank: one(SPACE.rank),
    pretrained: one(SPACE.weights) === SPACE.weights[0],
    task: one(SPACE.task),
    seed: 1000 + index,
  }
}
