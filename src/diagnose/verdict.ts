/** From what was measured to one of four answers, and what would change it. */
import { LEAST_SEEDS } from './truth.js'
import type { BestAgainstBest, PairedComparison, Verdict } from './types.js'

const nats = (value: number) => `${value.toPrecision(3)} nats a token`

function toldOf(
  one: string,
  several: string,
  { difference, interval }: Pick<PairedComparison, 'difference' | 'interval'>,
) {
  return `the loss of ${one} minus that of ${several} is ${nats(difference)} (95 %: ${interval.low.toPrecision(3)} to ${interval.high.toPrecision(3)})`
}

/** The verdict of a simulation: the interval of the difference beside the margin. */
export function verdictOfComparison(c: PairedComparison): Verdict {
  const missing = shortcomings(c)
  const numbers = [
    { name: 'difference', value: c.difference },
    { name: 'low', value: c.interval.low },
    { name: 'high', value: c.interval.high },
    { name: 'margin', value: c.margin },
    { name: 'gain', value: c.gain },
    { name: 'seeds', value: c.seeds.length },
    { name: 'items', value: c.items },
    { name: 'bytesSaved', value: c.bytesSaved },
  ]
  const carry = { numbers, missing, wouldChange: [] as string[] }
  const range = toldOf(c.one, c.several, c)
  if (missing.length > 0) {
    return { ...carry, kind: 'not-enough-evidence', sentence: `Not enough evidence: ${missing[0]?.reason}.` }
  }
  if (c.interval.high < c.margin) {
    return {
      ...carry,
      kind: 'one-round-suffices',
      confidence: c.belowMargin,
      sentence: `One round suffices: ${range}, below the margin of ${nats(c.margin)}; it saves ${share(c.bytesShare)} of the bytes.`,
      wouldChange: ['a smaller margin', 'more local epochs or a larger step: clients then travel further apart'],
    }
  }
  if (c.interval.low > c.margin) {
    return {
      ...carry,
      kind: 'several-rounds-needed',
      confidence: 1 - c.belowMargin,
      sentence: `Several rounds are needed: ${range}, above the margin of ${nats(c.margin)}.`,
      wouldChange: remedies,
    }
  }
  if (c.interval.low > 0) {
    return {
      ...carry,
      kind: 'one-round-costs',
      confidence: 1 - c.belowMargin,
      sentence: `One round costs something: ${range}; that is ${share(c.difference / c.gain)} of the gain, for ${share(c.bytesShare)} of the bytes saved. The margin of ${nats(c.margin)} lies inside the interval.`,
      wouldChange: ['more held-out examples or seeds: they would decide it', ...remedies],
    }
  }
  const half = (c.interval.high - c.interval.low) / 2
  const room = Math.max(Math.abs(c.margin - c.difference), c.margin / 4)
  const factor = Math.ceil((half / room) ** 2)
  const byItems = c.errors.items >= c.errors.seeds
  return {
    ...carry,
    kind: 'not-enough-evidence',
    sentence: `Not enough evidence: ${range}; the margin of ${nats(c.margin)} lies inside the interval.`,
    missing: [
      {
        reason: `the interval is ${(half / c.margin).toPrecision(2)} margins wide to each side`,
        enough: byItems
          ? `about ${Math.max(c.items + 1, c.items * factor)} held-out examples instead of ${c.items}, if the difference stays`
          : `about ${Math.max(c.seeds.length + 1, c.seeds.length * factor)} seeds instead of ${c.seeds.length}, if the difference stays`,
      },
    ],
  }
}

/**
 * The verdict compares both sides at one setting. Where each at its own best would be told otherwise, the reader learns it
 * with the answer.
 * @param margin nats a token
 */
export function besideBest(verdict: Verdict, best: BestAgainstBest, margin: number): Verdict {
  const { one, several, interval } = best
  const suffices = interval.high < margin
  const isNeeded = interval.low > margin
  const contradicts =
    (verdict.kind === 'one-round-suffices' && interval.low > 0) ||
    (verdict.kind === 'one-round-costs' && (suffices || isNeeded)) ||
    (verdict.kind === 'several-rounds-needed' && suffices)
  if (!contradicts) return verdict
  const told = toldOf(`${one.arm} at ${one.learningRate}`, `${several.arm} at ${several.learningRate}`, best)
  return { ...verdict, wouldChange: [`each side at the best setting tried: ${told}`, ...verdict.wouldChange] }
}

const remedies = [
  'fewer local epochs or a smaller step',
  'a scale lambda of the aggregate above 1, fitted on held-out data',
  'learned weights instead of weights by examples',
]

const share = (value: number) => `${(100 * value).toPrecision(3)} %`

/** Examples below which the error of a mean cannot be estimated from their spread. */
const LEAST_ITEMS = 30

/** What makes the numbers worth nothing, whatever they are. */
function shortcomings(c: PairedComparison): Verdict['missing'] {
  const missing: Verdict['missing'] = []
  const all = [c.difference, c.interval.low, c.interval.high, c.gain, c.margin]
  if (!all.every(Number.isFinite)) {
    missing.push({ reason: 'a loss is not finite: the run diverged', enough: 'runs with a smaller learning rate' })
    return missing
  }
  if (!(c.gain > 0)) {
    missing.push({
      reason: 'neither arm is better than the base, so there is no gain to lose',
      enough: 'a learning rate or data that training gains from',
    })
  }
  if (c.seeds.length < LEAST_SEEDS) {
    missing.push({
      reason: `${c.seeds.length} seed${c.seeds.length === 1 ? '' : 's'} cannot tell a difference from chance`,
      enough: `${LEAST_SEEDS} runs that differ in their seed only (simulate --seeds ${LEAST_SEEDS})`,
    })
  }
  if (c.items < LEAST_ITEMS) {
    missing.push({ reason: `${c.items} held-out examples are too few`, enough: `at least ${LEAST_ITEMS}` })
  }
  return missing
}

/** A verdict that says only what is missing. */
export function notEnough(...missing: Verdict['missing']): Verdict {
  return {
    kind: 'not-enough-evidence',
    sentence: `Not enough evidence: ${missing[0]?.reason ?? 'nothing was measured'}.`,
    numbers: [],
    missing,
    wouldChange: [],
  }
}
