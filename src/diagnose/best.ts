/**
 * Best one-shot against best several rounds: each side takes its own learning rate, epochs and lambda. Settings are
 * chosen on a validation part of the held-out examples and told on the other part, so that the choice flatters nobody.
 */
import { Draws } from '../data/random.js'
import { pairedDifference } from './comparison.js'
import { DIAGNOSE_STREAM } from './statistics.js'
import type { BestAgainstBest } from './types.js'

/** One setting of one side, over its seeds; every run on the same examples in the same order. */
export interface Tried {
  side: 'one' | 'several'
  arm: string
  learningRate: number
  lambda: number
  runs: readonly { seed: number; losses: readonly number[] }[]
}

/** An arm of a run folder at another lambda: losses as the run's own items are ordered. */
export interface Scaled {
  run: string
  arm: string
  lambda: number
  losses: readonly number[]
}

interface HeldOut {
  keys: readonly string[]
  tokens: readonly number[]
}

/** Half of the examples of each client, by lot; true: validation. A client with one example has it in the test part. */
export function validationPart(clients: readonly { count: number }[], seed: number): boolean[] {
  const draws = new Draws(seed, DIAGNOSE_STREAM.split, 0)
  return clients.flatMap(({ count }) => {
    const places = Array.from({ length: count }, (_, i) => ({ i, at: draws.uniform() })).sort((a, b) => a.at - b.at)
    const chosen = new Set(places.slice(0, Math.floor(count / 2)).map(({ i }) => i))
    return Array.from({ length: count }, (_, i) => chosen.has(i))
  })
}

/** Mean loss a token over a part, averaged over the seeds. */
function meanOver(tried: Tried, heldOut: HeldOut, part: (i: number) => boolean): number {
  let tokens = 0
  let loss = 0
  for (const [i, count] of heldOut.tokens.entries()) {
    if (!part(i)) continue
    tokens += count
    for (const run of tried.runs) loss += (run.losses[i] ?? 0) / tried.runs.length
  }
  return loss / tokens
}

/** Undefined where a side has no candidate or a part no example. Runs are paired seed by seed; the rest is left out. */
export function bestAgainstBest(
  tried: readonly Tried[],
  heldOut: HeldOut,
  validation: readonly boolean[],
): BestAgainstBest | undefined {
  const isValidation = (i: number) => validation[i] === true
  const isTest = (i: number) => validation[i] === false
  const testPlaces = heldOut.keys.flatMap((_, i) => (isTest(i) ? [i] : []))
  if (testPlaces.length === 0 || testPlaces.length === heldOut.keys.length) return undefined
  const choose = (side: 'one' | 'several') =>
    tried
      .filter((candidate) => candidate.side === side && candidate.runs.length > 0)
      .map((candidate) => ({ candidate, validation: meanOver(candidate, heldOut, isValidation) }))
      .sort((a, b) => a.validation - b.validation)[0]
  const [one, several] = [choose('one'), choose('several')]
  if (one === undefined || several === undefined) return undefined
  const take = (losses: readonly number[]) => testPlaces.map((i) => losses[i] ?? 0)
  const runs = one.candidate.runs.flatMap(({ seed, losses }) => {
    const other = several.candidate.runs.find((run) => run.seed === seed)
    if (other === undefined) return []
    const own = take(losses)
    return [
      {
        seed,
        keys: testPlaces.map((i) => heldOut.keys[i] ?? ''),
        tokens: take(heldOut.tokens),
        base: own,
        one: own,
        several: take(other.losses),
      },
    ]
  })
  if (runs.length === 0) return undefined
  const { difference, interval } = pairedDifference(runs)
  const told = ({ candidate, validation: chosen }: NonNullable<typeof one>) => ({
    arm: candidate.arm,
    learningRate: candidate.learningRate,
    lambda: candidate.lambda,
    seeds: candidate.runs.length,
    validation: chosen,
    test: meanOver(candidate, heldOut, isTest),
  })
  return {
    one: told(one),
    several: told(several),
    candidates: {
      one: tried.filter(({ side }) => side === 'one').length,
      several: tried.filter(({ side }) => side === 'several').length,
    },
    validationItems: heldOut.keys.length - testPlaces.length,
    testItems: testPlaces.length,
    difference,
    interval,
  }
}
