/** A diagnosis before anything is measured: everything unknown, each with the reason that its evidence gives. */
import { type Plan, planSha256 } from '../update/plan.js'
import type { Diagnosis, EvidenceKind, Unknown } from './types.js'
import { notEnough } from './verdict.js'

const unknown = (reason: string): Unknown => ({ unknown: reason })

/** What each kind of evidence can never know, whatever is measured. */
const REASONS: Record<EvidenceKind, { data: string; base: string; others: string; rounds: string }> = {
  client: {
    data: 'not measured',
    base: 'not measured',
    others: "one client does not see the others' updates",
    rounds: 'several rounds were not run',
  },
  updates: {
    data: 'the host holds no data',
    base: 'no base model was given (--base)',
    others: 'not measured',
    rounds: 'several rounds were not run',
  },
  simulation: {
    data: "the run's data was not given (--data)",
    base: 'no base model was given (--base)',
    others: 'not measured',
    rounds: 'not measured',
  },
}

export function blank(evidence: EvidenceKind, plan: Plan): Diagnosis {
  const { data, base, others, rounds } = REASONS[evidence]
  return {
    version: 1,
    evidence,
    plan: {
      sha256: planSha256(plan),
      base: plan.base.id,
      clients: plan.clients.length,
      rounds: plan.rounds,
      epochs: plan.train.epochs,
      learningRate: plan.train.learningRate,
      optimizer: plan.train.optimizer,
      trainable: plan.train.trainable.kind,
    },
    travel: unknown(base),
    smoothness: unknown(data),
    curvature: unknown(data),
    noise: unknown(data),
    disagreement: unknown(evidence === 'simulation' ? data : "clients' gradients are known in a simulation only"),
    similarity: unknown(others),
    gap: unknown(rounds),
    bounds: unknown(data),
    lambda: unknown(evidence === 'updates' ? 'no client sent its losses' : evidence === 'client' ? others : data),
    cost: unknown('the time of training is not known'),
    comparison: unknown(rounds),
    best: unknown(rounds),
    features: {},
    verdict: notEnough({ reason: 'nothing was measured', enough: 'a base and data, update files, or run folders' }),
    spent: { rows: 0, trainingRows: 0, share: 0, limit: 0, unsettled: [] },
    notes: [],
  }
}
