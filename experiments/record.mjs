// The record of a cell, made of its draws: what docs/results.md tells of it.
import { contrastsOf, lossesOf } from './contrasts.mjs'

/** @param draws of one cell, one a seed, in the order of the seeds */
export function recordOf(draws) {
  const { settings } = draws[0]
  return {
    settings,
    seeds: draws.map(({ seed }) => seed),
    losses: lossesOf(draws, settings.arms),
    contrasts: contrastsOf(draws, settings),
    reasons: draws.map(({ reasons }) => reasons),
    asked: Object.fromEntries(settings.ask.map((what) => [what, draws.map(({ asked }) => asked[what])])),
    seconds: draws.reduce((sum, { seconds }) => sum + seconds, 0),
  }
}
