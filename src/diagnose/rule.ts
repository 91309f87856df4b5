/**
 * Calibrated rules: from features to P(one round suffices), by a logistic fit over small federations of known truth.
 * calibration.json holds them with where they come from; `oneround diagnose --calibrate` makes it again.
 */
import { readFileSync } from 'node:fs'
import { z } from 'zod'
import { OneroundError } from '../errors.js'
import type { Diagnosis, Verdict } from './types.js'
import { notEnough } from './verdict.js'

/** `losses` is `updates` with what clients measured themselves. */
export const RULE_EVIDENCE = ['client', 'updates', 'losses'] as const
export type RuleEvidence = (typeof RULE_EVIDENCE)[number]

const rule = z.strictObject({
  evidence: z.enum(RULE_EVIDENCE),
  features: z.array(
    z.strictObject({ name: z.string(), mean: z.number(), scale: z.number().positive(), weight: z.number() }),
  ),
  bias: z.number(),
  /** says `suffices` from this probability on, `needed` up to that; null: never, since no threshold was precise enough */
  suffices: z.number().nullable(),
  needed: z.number().nullable(),
  /** on the half that was not fitted on; null where the rule never spoke */
  evaluation: z.strictObject({
    federations: z.number().int(),
    decided: z.number().int(),
    spoke: z.number().int(),
    precision: z.number().nullable(),
    recall: z.number().nullable(),
    brier: z.number(),
    alwaysSuffices: z.strictObject({ precision: z.number().nullable(), brier: z.number() }),
    tauOnly: z.strictObject({ precision: z.number().nullable(), recall: z.number().nullable(), brier: z.number() }),
    curve: z.array(
      z.strictObject({
        from: z.number(),
        to: z.number(),
        count: z.number().int(),
        predicted: z.number(),
        observed: z.number(),
      }),
    ),
  }),
})
const calibration = z.strictObject({
  version: z.literal(1),
  rules: z.array(rule),
  provenance: z.strictObject({
    seed: z.number().int(),
    federations: z.number().int(),
    commit: z.string(),
    base: z.string(),
    space: z.record(z.string(), z.json()),
  }),
})

export type Rule = z.output<typeof rule>
export type Calibration = z.output<typeof calibration>

/** Beside this file in src/; dist/ is equally deep below the package's root. */
const FILE = new URL('../../src/diagnose/calibration.json', import.meta.url)

/** The rules of this installation; undefined where it has none. */
export function readCalibration(file: URL | string = FILE): Calibration | undefined {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
  const result = calibration.safeParse(parse(text))
  if (result.success) return result.data
  throw new OneroundError('MALFORMED', 'calibration.json holds no calibration.', {
    found: result.error.issues[0]?.message,
    fix: 'Install oneround again, or make it anew with oneround diagnose --calibrate.',
  })
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** P(one round suffices) of a rule; undefined where a feature is missing. */
export function probabilityOf(
  { features, bias }: Pick<Rule, 'features' | 'bias'>,
  values: Record<string, number>,
): number | undefined {
  let score = bias
  for (const { name, mean, scale, weight } of features) {
    const value = values[name]
    if (value === undefined) return undefined
    // Beyond what was calibrated on, a straight line is a guess: the edge is taken instead.
    score += weight * Math.max(-3, Math.min(3, (value - mean) / scale))
  }
  return 1 / (1 + Math.exp(-score))
}

const SIMULATION = 'a simulation on a public stand-in, with three seeds (oneround simulate --seeds 3)'

/** What a rule says of features. Updates alone never say that one round suffices: nobody has looked at a loss. */
export function verdictOfRule(
  evidence: RuleEvidence,
  { plan, features: values }: Pick<Diagnosis, 'plan' | 'features'>,
  found: Calibration | undefined,
): Verdict {
  if (plan.trainable !== 'lora') {
    return notEnough({
      reason: `the rules were fitted on LoRA, and this plan trains '${plan.trainable}'`,
      enough: SIMULATION,
    })
  }
  const own = found?.rules.find((candidate) => candidate.evidence === evidence)
  if (own === undefined) {
    return notEnough({
      reason: 'this installation has no calibrated rule for this kind of evidence',
      enough: SIMULATION,
    })
  }
  const probability = probabilityOf(own, values)
  if (probability === undefined) {
    const missing = own.features.filter(({ name }) => values[name] === undefined).map(({ name }) => name)
    return notEnough({ reason: `the rule needs ${missing.join(', ')}, not measured here`, enough: SIMULATION })
  }
  const numbers = [
    { name: 'probability', value: probability },
    ...own.features.map(({ name }) => ({ name, value: values[name] ?? 0 })),
  ]
  const told = `calibrated on ${found?.provenance.federations ?? 0} small federations`
  if (own.suffices !== null && probability >= own.suffices && evidence !== 'updates') {
    return {
      kind: 'one-round-suffices',
      sentence: `One round probably suffices (${percent(probability)}, ${told}).`,
      numbers,
      confidence: probability,
      missing: [],
      wouldChange: ['more local epochs or a larger step: clients then travel further apart', SIMULATION],
    }
  }
  if (own.needed !== null && probability <= own.needed) {
    return {
      kind: 'several-rounds-needed',
      sentence: `Several rounds are probably needed (${percent(1 - probability)}, ${told}).`,
      numbers,
      confidence: 1 - probability,
      missing: [],
      wouldChange: ['fewer local epochs or a smaller step', 'a scale lambda fitted on held-out data', SIMULATION],
    }
  }
  const reason =
    evidence === 'updates' && probability > 0.5
      ? 'updates alone never show that one round suffices: nobody has looked at a loss'
      : `the rule says ${percent(probability)}, which is too near to even to be relied on`
  const enough =
    evidence === 'updates'
      ? "clients' losses at a few scalings (diagnose PLAN --client NAME --aggregate ADAPTER)"
      : SIMULATION
  return { ...notEnough({ reason, enough }), numbers }
}

const percent = (value: number) => `${(100 * value).toFixed(0)} %`
