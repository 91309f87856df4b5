/** Who takes part in a round, who drops out and who comes too late: functions of a seed, the same on every machine. */
import { Draws, permutation, STREAM } from '../data/random.js'
import { OneroundError } from '../errors.js'
import { askedCount } from '../update/strategy-checks.js'

/** What the federation agrees on. */
interface Participation {
  /** part of the clients that each round asks, at least one; 1: all */
  fraction: number
  /** updates without which a round is not closed */
  minimumClients: number
}

/** What a simulation lets happen to it; nothing by default. */
export interface Conditions {
  /** chance that a client that was asked sends nothing, 0 to below 1 */
  clientDropout: number
  /** how unequally fast clients are: the standard deviation of the logarithm of their time; 0: all take 1 */
  durationSpread: number
  /** when a synchronous round closes, in times of the median client; Infinity: when all have sent */
  deadline: number
}

export const everybody: Participation = { fraction: 1, minimumClients: 1 }
export const calm: Conditions = { clientDropout: 0, durationSpread: 0, deadline: Number.POSITIVE_INFINITY }

/** One round, decided before it begins. Names are in plain order. */
export interface Turnout {
  /** who got the start */
  asked: string[]
  /** who sends in time */
  arriving: string[]
  /** who got the start and went silent */
  dropped: string[]
  /** who would send after the deadline: stragglers */
  late: string[]
  /** when the round closes: the last arrival, or the deadline where it cut somebody off */
  seconds: number
}

/**
 * Draws a round: `fraction` of the clients without replacement, dropouts among them, and everybody's time.
 * @param clients all names; their order does not matter
 * @param attempt counts from 0; a round that failed its quorum is drawn anew
 */
export function turnoutOf(
  clients: readonly string[],
  seed: number,
  round: number,
  attempt: number,
  agreed: Participation,
  conditions: Conditions,
): Turnout {
  const all = [...clients].sort()
  const count = askedCount(all.length, agreed.fraction)
  const index = round * MOST_ATTEMPTS + attempt
  const chosen = permutation(all.length, seed, STREAM.participation, index).subarray(0, count)
  const asked = [...chosen].sort((x, y) => x - y)
  const turnout: Turnout = { asked: [], arriving: [], dropped: [], late: [], seconds: 0 }
  for (const i of asked) {
    const name = all[i] as string
    turnout.asked.push(name)
    if (isSilent(seed, i, index, conditions)) turnout.dropped.push(name)
    else if (durationOf(seed, i, index, conditions) > conditions.deadline) turnout.late.push(name)
    else {
      turnout.arriving.push(name)
      turnout.seconds = Math.max(turnout.seconds, durationOf(seed, i, index, conditions))
    }
  }
  // The server does not know who went silent: it waits for the deadline where there is one.
  const waits = turnout.late.length + turnout.dropped.length > 0 && Number.isFinite(conditions.deadline)
  return waits ? { ...turnout, seconds: conditions.deadline } : turnout
}

/**
 * Whether a client that was asked sends nothing.
 * @param client its place among the sorted names
 */
export function isSilent(seed: number, client: number, visit: number, { clientDropout }: Conditions): boolean {
  if (clientDropout === 0) return false
  return new Draws(seed, STREAM.clientDropout + client * 2 ** 8, visit).uniform() < clientDropout
}

/** A round is drawn at most this often. */
const MOST_ATTEMPTS = 1000

/**
 * How long a client takes for a visit, the median of all being 1: exp(spread (z_client + z_visit) / sqrt 2), so half of
 * the spread stays with the client and half is the day's.
 * @param client its place among the sorted names
 */
export function durationOf(seed: number, client: number, visit: number, { durationSpread }: Conditions): number {
  if (durationSpread === 0) return 1
  const own = normal(new Draws(seed, STREAM.clientSpeed, client))
  const today = normal(new Draws(seed, STREAM.visitDuration + client * 2 ** 8, visit))
  return Math.exp((durationSpread * (own + today)) / Math.SQRT2)
}

/** Standard normal (Box-Muller). */
function normal(draws: Draws): number {
  const radius = Math.sqrt(-2 * Math.log(draws.uniform()))
  return radius * Math.cos(2 * Math.PI * draws.uniform())
}

/** Refuses conditions that mean nothing. */
export function checkConditions(o: Partial<Conditions>): Conditions {
  const conditions = { ...calm, ...o }
  const rules: [keyof Conditions, boolean, string][] = [
    ['clientDropout', conditions.clientDropout >= 0 && conditions.clientDropout < 1, '0 to below 1'],
    ['durationSpread', conditions.durationSpread >= 0 && conditions.durationSpread <= 10, '0 to 10'],
    ['deadline', conditions.deadline > 0, 'above 0, in times of the median client'],
  ]
  for (const [name, isSound, expected] of rules) {
    if (isSound) continue
    throw new OneroundError('ARGUMENT', `${name} is not usable.`, {
      found: String(conditions[name]),
      expected,
      fix: `Correct ${name}.`,
    })
  }
  return conditions
}

/** Refuses a round with too few updates, by name and number. */
export function checkQuorum(round: number, attempt: number, turnout: Turnout, { minimumClients }: Participation): void {
  if (turnout.arriving.length >= minimumClients) return
  const lost = [...turnout.dropped.map((name) => `${name} dropped out`), ...turnout.late.map((name) => `${name} late`)]
  throw new OneroundError('REFUSED', `Round ${round} has too few updates to be closed (attempt ${attempt + 1}).`, {
    found: `${turnout.arriving.length} of ${turnout.asked.length} asked${lost.length > 0 ? `: ${lost.slice(0, 20).join(', ')}` : ''}`,
    expected: `at least ${minimumClients} (minimumClients)`,
    fix: 'Go on with --resume (API: resume: true): the round is drawn anew, rounds before it are kept. Or lower the minimum in a new plan.',
  })
}
