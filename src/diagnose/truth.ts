/** The truth that every verdict is held to, from runs that have both arms. */
import { pairedDifference } from './comparison.js'
import type { Pairing } from './paired-runs.js'
import type { RunArm } from './run-evidence.js'
import type { PairedComparison } from './types.js'

/** Seeds below which no interval over them means anything. */
export const LEAST_SEEDS = 3
/** Share of the gain over base that a difference may cost without mattering. */
export const MARGIN_SHARE = 0.02

export interface Margin {
  /** of the gain of the better of the two arms over base; default 0.02 */
  share?: number | undefined
  /** nats a token, instead of a share */
  nats?: number | undefined
}

export function compareArms(
  pairing: Pairing,
  arms: { one: RunArm; several: RunArm },
  margin: Margin = {},
): PairedComparison {
  const paired = pairedDifference(pairing.runs)
  const n = paired.perSeed.length
  const gain = paired.perSeed.reduce((sum, run) => sum + (run.base - Math.min(run.one, run.several)) / n, 0)
  const allowed = margin.nats ?? (margin.share ?? MARGIN_SHARE) * gain
  const bytes = (arm: RunArm) => arm.bytesUp + arm.bytesDown
  return {
    one: pairing.one,
    several: pairing.several,
    seeds: paired.perSeed.map((run) => run.seed),
    items: paired.items,
    difference: paired.difference,
    interval: paired.interval,
    errors: paired.errors,
    perSeed: paired.perSeed,
    gain,
    margin: allowed,
    marginShare: gain > 0 ? allowed / gain : 0,
    belowMargin: paired.below(allowed),
    bytesSaved: bytes(arms.several) - bytes(arms.one),
    bytesShare: bytes(arms.several) > 0 ? 1 - bytes(arms.one) / bytes(arms.several) : 0,
  }
}
