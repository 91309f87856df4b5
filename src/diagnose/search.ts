/** Best against best over run folders: every setting that was run is a candidate of its side. */
import { shapeOf } from '../federation/arms.js'
import { bestAgainstBest, type Scaled, type Tried, validationPart } from './best.js'
import { experimentOf, itemsOf, lossesOf } from './paired-runs.js'
import type { RunEvidence } from './run-evidence.js'
import type { BestAgainstBest, Known } from './types.js'

type Group = Tried & { runs: { seed: number; losses: readonly number[] }[] }

/**
 * Runs on other examples than the first's are left out; seeds of one setting count together.
 * @param scaled the same arms at other lambdas, where base and data were there to judge them
 */
export function bestOf(runs: readonly RunEvidence[], scaled: readonly Scaled[] = []): Known<BestAgainstBest> {
  const [first] = runs
  const base = first?.items.get('base')
  if (first === undefined || base === undefined) return { unknown: 'the run kept no held-out losses by example' }
  const heldOut = itemsOf(first, base)
  const same = heldOut.keys.join('\n')
  const groups = new Map<string, Group>()
  for (const run of runs) {
    for (const [arm, items] of run.items) {
      if (shapeOf(arm) === undefined || itemsOf(run, items).keys.join('\n') !== same) continue
      addTo(groups, run, arm, 1, lossesOf(items))
      for (const other of scaled)
        if (other.run === run.folder && other.arm === arm) addTo(groups, run, arm, other.lambda, other.losses)
    }
  }
  return (
    bestAgainstBest([...groups.values()], heldOut, validationPart(heldOut.clients, 0)) ?? {
      unknown: 'it takes an arm of one round, one of several, and two held-out examples a client',
    }
  )
}

/** A seed of a setting counts once. */
function addTo(
  groups: Map<string, Group>,
  run: RunEvidence,
  arm: string,
  lambda: number,
  losses: readonly number[],
): void {
  const { seed, learningRate } = run.plan.train
  const key = `${arm} ${lambda} ${experimentOf(run)}`
  const side = shapeOf(arm)?.rounds === 1 ? 'one' : 'several'
  const group = groups.get(key) ?? { side, arm, learningRate, lambda, runs: [] }
  if (!group.runs.some((known) => known.seed === seed)) group.runs.push({ seed, losses })
  groups.set(key, group)
}
