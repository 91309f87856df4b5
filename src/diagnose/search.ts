/** Best against best over run folders: every setting that was run is a candidate of its side. */
import { shapeOf } from '../federation/arms.js'
import { bestAgainstBest, type Tried, validationPart } from './best.js'
import { experimentOf, itemsOf, lossesOf } from './paired-runs.js'
import type { RunEvidence } from './run-evidence.js'
import type { BestAgainstBest, Known } from './types.js'

/** Runs on other examples than the first's are left out; seeds of one setting count together. */
export function bestOf(runs: readonly RunEvidence[]): Known<BestAgainstBest> {
  const [first] = runs
  const base = first?.items.get('base')
  if (first === undefined || base === undefined) return { unknown: 'the run kept no held-out losses by example' }
  const heldOut = itemsOf(first, base)
  const same = heldOut.keys.join('\n')
  const groups = new Map<string, Tried & { runs: { seed: number; losses: readonly number[] }[] }>()
  for (const run of runs) {
    for (const [arm, items] of run.items) {
      const shape = shapeOf(arm)
      if (shape === undefined || itemsOf(run, items).keys.join('\n') !== same) continue
      const key = `${arm} ${experimentOf(run)}`
      const group = groups.get(key) ?? {
        side: shape.rounds === 1 ? ('one' as const) : ('several' as const),
        arm,
        learningRate: run.plan.train.learningRate,
        lambda: 1,
        runs: [],
      }
      if (!group.runs.some(({ seed }) => seed === run.plan.train.seed))
        group.runs.push({ seed: run.plan.train.seed, losses: lossesOf(items) })
      groups.set(key, group)
    }
  }
  return (
    bestAgainstBest([...groups.values()], heldOut, validationPart(heldOut.clients, 0)) ?? {
      unknown: 'it takes an arm of one round, one of several, and two held-out examples a client',
    }
  )
}
