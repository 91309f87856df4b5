/** Rank rules as what the factorisations take: a largest rank and a tolerance. */
import { OneroundError } from '../errors.js'
import type { LayerSum, RankRule } from './method.js'

/** With rank 'auto' the relative Frobenius error that a layer may lose. */
const autoTolerance = 1e-3
/** With rank 'auto' the most that a layer may have, in plan ranks. */
const autoRankFactor = 2

export function rankLimits(sum: LayerSum, rule: RankRule): { most: number; tolerance: number } {
  const full = Math.min(sum.in, sum.out)
  const auto = { most: Math.min(autoRankFactor * sum.rank, full), tolerance: autoTolerance }
  if (rule === 'auto') return auto
  if (typeof rule === 'number') return { most: Math.min(rule, full), tolerance: 0 }
  if ('energy' in rule) return { most: full, tolerance: Math.sqrt(1 - rule.energy) }
  const own = Object.hasOwn(rule.layers, sum.name) ? rule.layers[sum.name] : undefined
  return own === undefined ? auto : { most: Math.min(own, full), tolerance: 0 }
}

/** Refuses a rule that makes no sense; `layers` are the plan's names. */
export function checkRank(rule: RankRule, layers: readonly string[]): void {
  if (rule === 'auto') return
  if (typeof rule === 'number') {
    checkCount(rule)
    return
  }
  if (typeof rule === 'object' && rule !== null && 'energy' in rule) {
    if (typeof rule.energy === 'number' && rule.energy > 0 && rule.energy <= 1) return
    throw unusable(`energy ${rule.energy}`, 'an energy above 0, at most 1')
  }
  if (typeof rule !== 'object' || rule === null || !('layers' in rule))
    throw unusable(String(rule), "a whole number, 'auto', an energy, or ranks by layer")
  for (const [name, rank] of Object.entries(rule.layers)) {
    if (!layers.includes(name)) throw unusable(`a rank for '${name}'`, 'only layers of the plan')
    checkCount(rank)
  }
}

function checkCount(rank: number): void {
  if (!Number.isSafeInteger(rank) || rank < 1) throw unusable(String(rank), "a whole number of at least 1, or 'auto'")
}

function unusable(found: string, expected: string): OneroundError {
  return new OneroundError('ARGUMENT', 'The rank is not usable.', { found, expected, fix: 'Correct the rank.' })
}
