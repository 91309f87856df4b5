// Arms against arms over the draws of a cell, paired by held-out example.
import { pairedDifference } from '../dist/diagnose/comparison.js'
import { lossesOf as itemLosses, itemsOf } from '../dist/diagnose/paired-runs.js'
import { MARGIN_SHARE } from '../dist/diagnose/truth.js'
import { verdictOfComparison } from '../dist/diagnose/verdict.js'

/** Mean held-out loss of each arm a seed, and what travelled. */
export function lossesOf(draws, arms) {
  return Object.fromEntries(
    arms.map((arm) => {
      const rows = draws.map((draw) => draw.arms[arm])
      const mean = (field) => rows.reduce((sum, row) => sum + (row?.[field] ?? 0), 0) / rows.length
      return [
        arm,
        { perSeed: rows.map((row) => row?.overall.loss), bytesUp: mean('bytesUp'), bytesDown: mean('bytesDown') },
      ]
    }),
  )
}

/** Each arm against one round: positive where one round loses more. `share` is of what that other arm gains over base. */
export function contrastsOf(draws, { arms, horizon }) {
  const one = `1x${horizon}`
  if (!arms.includes(one) || !arms.includes('base')) return []
  return arms
    .filter((arm) => arm !== one && arm !== 'base' && draws.every(({ items }) => arm in items))
    .map((arm) => ({ one, arm, ...contrast(draws.map((draw) => paired(draw, one, arm))) }))
}

/** Losses of two arms and the base on the items of one draw. */
function paired({ seed, data, items }, one, several) {
  const { keys, tokens } = itemsOf({ data }, items[one])
  const [base, first, second] = ['base', one, several].map((arm) => itemLosses(items[arm]))
  return { seed, keys, tokens, base, one: first, several: second }
}

/** @param pairs as pairedDifference takes them */
export function contrast(pairs) {
  const { difference, interval, perSeed, items } = pairedDifference(pairs)
  const gain = perSeed.reduce((sum, { base, several }) => sum + base - several, 0) / perSeed.length
  return { difference, interval, items, gain, share: difference / gain }
}

/** A cell's verdict, by the product's own rule and margin; undefined where its two arms were not both run. */
export function verdictOf({ settings: { horizon }, seeds, losses, contrasts }) {
  const [one, several] = [`1x${horizon}`, `${horizon}x1`]
  const rival = contrasts.find(({ arm }) => arm === several)
  if (rival === undefined) return undefined
  const of = (arm, i) => losses[arm].perSeed[i]
  const perSeed = seeds.map((seed, i) => ({
    seed,
    base: of('base', i),
    one: of(one, i),
    several: of(several, i),
    difference: of(one, i) - of(several, i),
  }))
  const gain = perSeed.reduce((sum, run) => sum + run.base - Math.min(run.one, run.several), 0) / seeds.length
  const bytes = (arm) => losses[arm].bytesUp + losses[arm].bytesDown
  const { difference, interval, items } = rival
  return verdictOfComparison({
    ...{ one, several, seeds, items, difference, interval, perSeed, gain, margin: MARGIN_SHARE * gain },
    // Only the kind is taken; these are for the sentence beside it.
    ...{
      errors: { items: 0, seeds: 0, freedom: 0 },
      belowMargin: Number.NaN,
      bytesSaved: bytes(several) - bytes(one),
      bytesShare: 1 - bytes(one) / bytes(several),
    },
  }).kind
}
