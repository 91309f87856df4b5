/** Run folders as pairs of losses on the same examples. */
import type { ItemLosses } from '../federation/judge.js'
import { canonicalJson } from '../update/canonical.js'
import type { PairedRun } from './comparison.js'
import { armsAtHorizon, type RunEvidence } from './run-evidence.js'

/** Every held-out example of a run, client by client: what it is, and its tokens. */
interface RunItems {
  keys: string[]
  tokens: number[]
  clients: { client: string; count: number }[]
}

/** An example is known by the digest of its client's data and its place, so runs on the same data share examples. */
export function itemsOf(run: RunEvidence, items: Record<string, ItemLosses>): RunItems {
  const clients = Object.keys(items)
    .sort()
    .map((client) => ({ client, count: items[client]?.losses.length ?? 0 }))
  return {
    keys: clients.flatMap(({ client, count }) =>
      Array.from({ length: count }, (_, i) => `${run.data[client] ?? run.folder}/${client}/${i}`),
    ),
    tokens: clients.flatMap(({ client }) => items[client]?.tokens ?? []),
    clients,
  }
}

export function lossesOf(items: Record<string, ItemLosses>): number[] {
  return Object.keys(items)
    .sort()
    .flatMap((client) => items[client]?.losses ?? [])
}

/** The plan without its seed: runs with equal ones are the same experiment drawn again. */
export function experimentOf({ plan }: RunEvidence): string {
  return canonicalJson({ ...plan, train: { ...plan.train, seed: 0 } })
}

export interface Pairing {
  one: string
  several: string
  runs: PairedRun[]
  /** runs that could not be paired, and why */
  left: string[]
}

/** Pairs the arms of every run with the first run's horizon. */
export function pairRuns(runs: readonly RunEvidence[]): Pairing | { reason: string; enough: string } {
  const [first] = runs
  if (first === undefined) return { reason: 'no run', enough: 'run folders of simulate' }
  const { one, several } = armsAtHorizon(first.plan, first.arms.keys())
  const horizon = first.plan.rounds * first.plan.train.epochs
  if (one === undefined || several === undefined) {
    return {
      reason: `the run has ${[...first.arms.keys()].join(', ') || 'no finished arm'}; a run that diverged stops before its arm is finished`,
      enough: `base, 1x${horizon} and ${horizon < 2 ? 'an arm of several rounds; the horizon must be at least 2 epochs' : `${horizon}x1`}, finished`,
    }
  }
  const left: string[] = []
  const seen = new Set<number>()
  const paired: PairedRun[] = []
  for (const run of runs) {
    const { seed } = run.plan.train
    const [base, losses, others] = ['base', one, several].map((name) => run.items.get(name))
    if (seen.has(seed)) left.push(`${run.folder}: seed ${seed} a second time`)
    else if (!base || !losses || !others)
      left.push(`${run.folder}: no held-out losses by example of base, ${one} and ${several}`)
    else {
      const { keys, tokens } = itemsOf(run, losses)
      const lists = [base, losses, others].map(lossesOf)
      if (lists.some((list) => list.length !== keys.length))
        left.push(`${run.folder}: arms judged on different examples`)
      else {
        seen.add(seed)
        paired.push({ seed, keys, tokens, base: lists[0] ?? [], one: lists[1] ?? [], several: lists[2] ?? [] })
      }
    }
  }
  if (paired.length === 0)
    return {
      reason: left[0] ?? 'nothing to pair',
      enough: 'simulate --resume once more: it judges finished arms again',
    }
  return { one, several, runs: paired, left }
}
