import { type Arm, shapeOf } from '../federation/arms.js'
import { formatBytes, formatCount, formatLoss } from './numbers.js'
import { columnsOf, shareOfWay } from './summary.js'

/**
 * What a comparison says, in one sentence that claims no more than was measured. The measure is the share of the
 * way from the base's held-out loss to the pooled one's: pooling is what a federation gives up.
 */
export function reading(arms: readonly Arm[]): string {
  const base = arms.find((arm) => arm.name === 'base')
  const pooled = arms.find((arm) => arm.name === 'pooled')
  const rounds = arms.filter((arm) => shapeOf(arm.name))
  if (rounds.length === 0) return 'This run has no arm of rounds, so it says nothing about them.'
  if (base === undefined) {
    const losses = rounds.map((arm) => `${arm.name} ${formatLoss(arm.overall.loss)}`)
    return `Held-out loss: ${list(losses)}; without the arm base nothing says what training gained, so no difference can be called large or small.`
  }
  if (pooled === undefined) {
    const told = rounds.map((arm) => `${arm.name} to ${formatLoss(arm.overall.loss)}`)
    return `Held-out loss goes from ${formatLoss(base.overall.loss)} (base) with ${list(told)}; without the pooled arm there is no upper mark to hold this against.`
  }
  if (!(pooled.overall.loss < base.overall.loss)) {
    return `Pooled training did not beat the base here (${formatLoss(pooled.overall.loss)} against ${formatLoss(base.overall.loss)}), so these settings learn nothing that rounds could lose.`
  }
  const told = rounds.map((arm) => `${arm.name} goes ${percent(shareOfWay(arms, arm.overall.loss))}`)
  const alone = columnsOf(arms).find((column) => column.title === 'alone')
  const aloneShare = alone === undefined ? undefined : shareOfWay(arms, alone.overall.loss)
  const first = rounds[0]
  const last = rounds[rounds.length - 1]
  const bytes =
    first !== undefined && last !== undefined && first !== last
      ? `, for ${formatBytes(first.bytesUp)} uploaded against ${formatBytes(last.bytesUp)}`
      : ''
  const lone = aloneShare === undefined ? '' : `; a client alone, on its own text, ${percent(aloneShare)}`
  return (
    `Of the way from base (${formatLoss(base.overall.loss)}) to pooled (${formatLoss(pooled.overall.loss)}), ` +
    `${list(told)}${bytes}${lone}: one seed on ${formatCount(base.overall.tokens)} held-out tokens, so small gaps mean little.`
  )
}

function percent(share: number | undefined): string {
  return share === undefined ? 'an unknown share' : `${Math.round(share * 100)} %`
}

function list(parts: readonly string[]): string {
  if (parts.length < 2) return parts.join('')
  return `${parts.slice(0, -1).join(', ')} and ${parts[parts.length - 1] ?? ''}`
}
