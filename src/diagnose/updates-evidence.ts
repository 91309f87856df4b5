/** Evidence at the host: update files, and where the plan shares losses what clients measured themselves. */

import { openAggregator } from '../aggregate/aggregator.js'
import type { Model } from '../model/open.js'
import type { JobOptions } from '../train/job.js'
import type { Plan } from '../update/plan.js'
import { readUpdate, type Update } from '../update/update.js'
import { blank } from './blank.js'
import { featuresOf } from './features.js'
import { LAMBDAS, parabolaMinimum } from './lambda.js'
import { checkLosses, type LossesMessage, readLosses } from './losses-file.js'
import { type Calibration, verdictOfRule } from './rule.js'
import { measureSimilarity } from './similarity.js'
import { baseNorms, measureTravel } from './travel.js'
import type { Diagnosis, LambdaCurve } from './types.js'
import { notEnough } from './verdict.js'

interface UpdatesEvidence extends JobOptions {
  plan: Plan
  /** files of one round */
  updates: readonly (string | Update)[]
  /** files of the second message, or messages */
  losses?: readonly (string | LossesMessage)[] | undefined
  /** digest of the aggregate that the losses must be of; default: they must agree */
  aggregateSha256?: string | undefined
  /** gives tau */
  base?: Model | undefined
  calibration: Calibration | undefined
}

export async function diagnoseUpdates(o: UpdatesEvidence): Promise<Diagnosis> {
  const { plan } = o
  const result = blank('updates', plan)
  const updates = await Promise.all(
    o.updates.map((source) => (typeof source === 'string' ? readUpdate(source, plan) : source)),
  )
  const messages = await Promise.all(
    (o.losses ?? []).map((source) => (typeof source === 'string' ? readLosses(source) : source)),
  )
  checkLosses(plan, messages, o.aggregateSha256)
  result.plan.clients = updates.length
  if (updates.length < 2) {
    result.verdict = notEnough({
      reason: `${updates.length} update${updates.length === 1 ? '' : 's'} cannot disagree`,
      enough: 'updates of at least two clients',
    })
    return result
  }
  result.similarity = await measureSimilarity(plan, updates)
  if (o.base) result.travel = await travelOf(o.base, plan, updates)
  const lacking = updates.filter(({ info }) => !messages.some(({ client }) => client === info.client))
  if (messages.length > 0) {
    result.lambda = curveOf(messages)
    if (lacking.length > 0)
      result.notes.push(
        `${lacking.length} of ${updates.length} clients sent no losses; the curve is that of the others.`,
      )
  }
  const gains = updates.flatMap(({ info: { lossBefore, lossAfter } }) =>
    lossBefore !== undefined && lossAfter !== undefined ? [lossBefore - lossAfter] : [],
  )
  if (gains.length > 0)
    result.notes.push(
      `Each client alone gained ${Math.min(...gains).toPrecision(3)} to ${Math.max(...gains).toPrecision(3)} nats a token on its own held-out part, as it says.`,
    )
  result.features = featuresOf(result)
  result.verdict = verdictOfRule(
    messages.length > 0 && lacking.length === 0 ? 'losses' : 'updates',
    result,
    o.calibration,
  )
  return result
}

async function travelOf(base: Model, plan: Plan, updates: readonly Update[]) {
  const aggregator = await openAggregator(plan)
  for (const update of updates) await aggregator.add(update)
  return measureTravel((await aggregator.finish()).adapter, await baseNorms(base, plan), { what: 'the aggregate' })
}

/** The clients' means, each client once: the host may not know how much each holds out. */
function curveOf(messages: readonly LossesMessage[]): LambdaCurve {
  const points = LAMBDAS.map((lambda, i) => ({
    lambda,
    validation: messages.reduce((sum, { losses }) => sum + (losses[i]?.loss ?? 0), 0) / messages.length,
  }))
  const best = points.reduce((least, point) => (point.validation < least.validation ? point : least))
  return { points, best: { lambda: parabolaMinimum(points), validation: best.validation } }
}
