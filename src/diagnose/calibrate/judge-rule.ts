/** Thresholds from one half of the federations; precision, recall and a calibration curve on the other. */
import { probabilityOf, type Rule, type RuleEvidence } from '../rule.js'
import type { FederationRecord } from './federation.js'
import { type Fitted, fitLogistic } from './fit.js'

/** What a rule may read of each kind of evidence; each is cheap and has no units. The half that is fitted on chooses. */
const RULE_FEATURES: Record<RuleEvidence, readonly string[]> = {
  client: ['logTau', 'logTurn', 'alignment', 'logHorizon', 'logRate', 'logClients'],
  updates: ['meanCosine', 'retention', 'logRank', 'logHorizon', 'logRate', 'logClients'],
  losses: ['meanCosine', 'retention', 'lambda', 'lambdaLoss', 'logHorizon', 'logRate', 'logClients'],
}
/** Of them a rule takes so many: thirty federations carry no more. */
const MOST_FEATURES = 3
/** What a rule must reach on the half that it is fitted on before it may speak. */
const PRECISION = 0.9
/** Federations that a threshold must have spoken of: one lucky case at the edge is no threshold. */
const LEAST_SPOKEN = 4
const BINS = 5

/** A federation with everything that a rule needs and a truth to hold it against. */
interface Usable {
  features: Record<string, number>
  below: number
  /** true: suffices; false: needed; undefined: the truth itself is undecided */
  truth: boolean | undefined
}

function usable(records: readonly FederationRecord[], evidence: RuleEvidence): Usable[] {
  return records.flatMap(({ features, below, truth }) => {
    const own = features[evidence]
    if (below === null || RULE_FEATURES[evidence].some((name) => own[name] === undefined)) return []
    const decided = truth === 'one-round-suffices' ? true : truth === 'several-rounds-needed' ? false : undefined
    return [{ features: own, below, truth: decided }]
  })
}

/** Undefined where either half has nothing to learn from or to judge by. */
export function makeRule(
  evidence: RuleEvidence,
  fitOn: readonly FederationRecord[],
  judgeOn: readonly FederationRecord[],
): Rule | undefined {
  const [seen, unseen] = [usable(fitOn, evidence), usable(judgeOn, evidence)]
  if (seen.length < 2 || unseen.length === 0) return undefined
  const names = chosenFeatures(RULE_FEATURES[evidence], seen)
  const rule = fitted(names, seen)
  const thresholds = thresholdsOf(leftOut(names, seen), evidence !== 'updates')
  return { evidence, ...rule, ...thresholds, evaluation: evaluate(rule, thresholds, seen, unseen) }
}

function fitted(names: readonly string[], seen: readonly Usable[]): Fitted {
  return fitLogistic(
    names,
    seen.map(({ features }) => features),
    seen.map(({ below }) => below),
  )
}

/** Each federation with what a rule fitted on all others says of it: a threshold set on what was fitted is too bold. */
function leftOut(names: readonly string[], seen: readonly Usable[]): Told[] {
  return seen.map((one, i) => ({
    ...one,
    p: probabilityOf(fitted(names, [...seen.slice(0, i), ...seen.slice(i + 1)]), one.features) ?? 0.5,
  }))
}

/** The few features that predict best what they were not fitted on (leave-one-out Brier score); ties go to fewer. */
export function chosenFeatures(candidates: readonly string[], seen: readonly Usable[]): string[] {
  let best = { names: [] as string[], score: Number.POSITIVE_INFINITY }
  for (const names of subsets(candidates, MOST_FEATURES)) {
    const score = brier(leftOut(names, seen))
    if (score < best.score - 1e-12) best = { names, score }
  }
  return best.names
}

/** All choices of one to `most` names, the smaller first. */
function subsets(names: readonly string[], most: number): string[][] {
  const all = Array.from({ length: 2 ** names.length - 1 }, (_, mask) => names.filter((_, i) => ((mask + 1) >> i) & 1))
  return all.filter((some) => some.length <= most).sort((a, b) => a.length - b.length)
}

interface Thresholds {
  suffices: number | null
  needed: number | null
}

/** The least probability from which `suffices` is right often enough, and the greatest up to which `needed` is. */
export function thresholdsOf(told: readonly Pick<Told, 'p' | 'truth'>[], maySuffice = true): Thresholds {
  const decided = told.flatMap(({ p, truth }) => (truth === undefined ? [] : [{ p, truth }]))
  const candidates = [...new Set(decided.map(({ p }) => p))].sort((a, b) => a - b)
  const right = (chosen: readonly { truth: boolean }[], truth: boolean) =>
    chosen.length >= LEAST_SPOKEN && chosen.filter((one) => one.truth === truth).length >= PRECISION * chosen.length
  return {
    suffices: maySuffice
      ? (candidates.find(
          (t) =>
            t > 0.5 &&
            right(
              decided.filter(({ p }) => p >= t),
              true,
            ),
        ) ?? null)
      : null,
    needed:
      candidates.findLast(
        (t) =>
          t < 0.5 &&
          right(
            decided.filter(({ p }) => p <= t),
            false,
          ),
      ) ?? null,
  }
}

const ratio = (part: number, whole: number) => (whole > 0 ? part / whole : null)

function evaluate(
  fitted: Fitted,
  thresholds: Thresholds,
  seen: readonly Usable[],
  unseen: readonly Usable[],
): Rule['evaluation'] {
  const told = unseen.map((one) => ({ ...one, p: probabilityOf(fitted, one.features) ?? 0.5 }))
  const tau = tauRule(seen)
  const byTau = unseen.map((one) => ({
    ...one,
    p: tau === undefined ? 0.5 : (probabilityOf(tau.fitted, one.features) ?? 0.5),
  }))
  const base = seen.reduce((sum, { below }) => sum + below, 0) / seen.length
  const decided = told.filter(({ truth }) => truth !== undefined)
  return {
    federations: unseen.length,
    decided: decided.length,
    ...scores(told, thresholds),
    brier: brier(told),
    // Without looking, `suffices` is said each time; its probability is the fitted half's share.
    alwaysSuffices: {
      precision: ratio(decided.filter(({ truth }) => truth === true).length, decided.length),
      brier: brier(unseen.map((one) => ({ ...one, p: base }))),
    },
    tauOnly: { ...pick(scores(byTau, tau?.thresholds ?? { suffices: null, needed: null })), brier: brier(byTau) },
    curve: curveOf(told),
  }
}

function tauRule(seen: readonly Usable[]): { fitted: Fitted; thresholds: Thresholds } | undefined {
  const rows = seen.filter(({ features }) => features.logTau !== undefined)
  if (rows.length < 2) return undefined
  return { fitted: fitted(['logTau'], rows), thresholds: thresholdsOf(leftOut(['logTau'], rows)) }
}

type Told = Usable & { p: number }

/** Of what was said, how much is right; of what could be said, how much was. */
function scores(told: readonly Told[], { suffices, needed }: Thresholds) {
  const decided = told.filter(({ truth }) => truth !== undefined)
  const said = decided.flatMap(({ p, truth }) => {
    if (suffices !== null && p >= suffices) return [truth === true]
    if (needed !== null && p <= needed) return [truth === false]
    return []
  })
  const right = said.filter(Boolean).length
  return { spoke: said.length, precision: ratio(right, said.length), recall: ratio(right, decided.length) }
}

const pick = ({ precision, recall }: ReturnType<typeof scores>) => ({ precision, recall })

/** Mean squared distance of the probability from the truth's own. */
function brier(told: readonly Pick<Told, 'p' | 'below'>[]): number {
  return told.reduce((sum, { p, below }) => sum + (p - below) ** 2, 0) / told.length
}

function curveOf(told: readonly Told[]): Rule['evaluation']['curve'] {
  return Array.from({ length: BINS }, (_, i) => ({ from: i / BINS, to: (i + 1) / BINS })).flatMap(({ from, to }) => {
    const inside = told.filter(({ p }) => p >= from && (p < to || to === 1))
    if (inside.length === 0) return []
    const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / inside.length
    return [
      {
        from,
        to,
        count: inside.length,
        predicted: mean(inside.map(({ p }) => p)),
        observed: mean(inside.map(({ below }) => below)),
      },
    ]
  })
}
