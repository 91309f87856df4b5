/** The few numbers that calibrated rules read. A feature that was not measured is absent, and a rule that needs it is silent. */

import { projectTau } from './travel.js'
import type { Diagnosis } from './types.js'
import { isKnown } from './types.js'

export function featuresOf(d: Diagnosis): Record<string, number> {
  const features: Record<string, number> = {
    logHorizon: Math.log10(d.plan.rounds * d.plan.epochs),
    logRate: Math.log10(d.plan.learningRate),
  }
  if (d.plan.clients > 0) features.logClients = Math.log10(d.plan.clients)
  if (isKnown(d.travel)) {
    const tau = projectTau(d.travel) ?? d.travel.tau
    if (tau > 0) features.logTau = Math.log10(tau)
  }
  if (isKnown(d.curvature) && d.curvature.turn.mean > 0) {
    features.logTurn = Math.log10(d.curvature.turn.mean)
    features.alignment = d.curvature.alignment.mean
  }
  if (isKnown(d.noise)) features.logNoise = Math.log10(1 + d.noise.relativeVariance)
  if (isKnown(d.similarity)) {
    features.meanCosine = d.similarity.meanCosine
    features.retention = d.similarity.retention
    if (d.similarity.effectiveRank > 0) features.logRank = Math.log10(d.similarity.effectiveRank)
  }
  if (isKnown(d.lambda)) {
    const at = (lambda: number) =>
      d.lambda && isKnown(d.lambda) ? d.lambda.points.find((point) => point.lambda === lambda)?.validation : undefined
    const [none, one] = [at(0), at(1)]
    features.lambda = d.lambda.best.lambda
    if (none !== undefined && one !== undefined && none > d.lambda.best.validation) {
      features.lambdaLoss = (one - d.lambda.best.validation) / (none - d.lambda.best.validation)
    }
  }
  return Object.fromEntries(Object.entries(features).filter(([, value]) => Number.isFinite(value)))
}
