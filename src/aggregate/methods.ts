/** From a method's name to its code: by layer, or coefficients from the Gram matrix and then svd. */
import { OneroundError } from '../errors.js'
import { native } from '../native/load.js'
import { catLayer } from './cat.js'
import { type CoefficientRule, coefficientLayer, withCoefficients } from './coefficients.js'
import { dareLayer } from './dare.js'
import { feditLayer } from './fedit.js'
import { ffaLayer } from './ffa.js'
import { fisherLayer } from './fisher.js'
import { geometricMedianCoefficients } from './geometric-median.js'
import { layerGrams } from './gram.js'
import { knotsLayer } from './knots.js'
import { krumCoefficients, multiKrumCoefficients } from './krum.js'
import { type LayerJobs, overLayers } from './layers.js'
import { medianLayer } from './median.js'
import type { LayerMethod, LayerOutcome, LayerSum, MethodOptions } from './method.js'
import { normClippingCoefficients } from './norm-clipping.js'
import { regmeanLayer } from './regmean.js'
import { residualLayer } from './residual.js'
import { stackLayer } from './stack.js'
import { svdLayer } from './svd.js'
import type { AggregateMethod } from './table.js'
import { taskArithmeticLayer } from './task-arithmetic.js'
import { tiesLayer } from './ties.js'
import { trimmedMeanLayer } from './trimmed-mean.js'

type Rule = { layer: LayerMethod } | { coefficients: CoefficientRule }

/** Methods of factors; whole tensors have but one. */
type FactorMethod = Exclude<AggregateMethod, 'fedavg'>

const rules: Readonly<Record<FactorMethod, Rule>> = {
  svd: { layer: svdLayer },
  stack: { layer: stackLayer },
  fedit: { layer: feditLayer },
  residual: { layer: residualLayer },
  ffa: { layer: ffaLayer },
  // The server has B R_i as B: the mean of the cores is theirs, behind the one A.
  'fed-sb': { layer: ffaLayer },
  'task-arithmetic': { layer: taskArithmeticLayer },
  cat: { layer: catLayer },
  ties: { layer: tiesLayer },
  dare: { layer: dareLayer },
  knots: { layer: knotsLayer },
  fisher: { layer: fisherLayer },
  regmean: { layer: regmeanLayer },
  median: { layer: medianLayer },
  'trimmed-mean': { layer: trimmedMeanLayer },
  krum: { coefficients: krumCoefficients },
  'multi-krum': { coefficients: multiKrumCoefficients },
  'geometric-median': { coefficients: geometricMedianCoefficients },
  'norm-clipping': { coefficients: normClippingCoefficients },
}

/** Outcomes in the order of `sums`; `coefficients` by client where the method chose them. */
export async function runMethod(
  method: FactorMethod,
  sums: readonly LayerSum[],
  options: MethodOptions,
  jobs: LayerJobs,
): Promise<{ outcomes: LayerOutcome[]; coefficients?: Record<string, number> }> {
  const rule = rules[method]
  if ('layer' in rule) return { outcomes: await overLayers(sums, rule.layer, options, jobs) }
  const parts = (sums[0]?.parts ?? []).filter((part) => part.weight !== 0)
  const clients = parts.map((part) => part.client)
  const gram = await layerGrams(
    clients,
    sums.map((sum) => () => gramOf(sum)),
    jobs,
  )
  if (!gram.values.every(Number.isFinite))
    throw new OneroundError('NUMERIC', 'An inner product of updates is not finite.', { fix: 'Check the updates.' })
  const chosen = rule.coefficients(
    gram,
    parts.map((part) => part.weight),
    options,
  )
  const table = new Map(clients.map((client, i) => [client, chosen[i] ?? 0]))
  const outcomes = await overLayers(
    sums,
    (sum, o) =>
      coefficientLayer(
        sum,
        withCoefficients(sum, (client) => table.get(client) ?? 0),
        o,
      ),
    options,
    jobs,
  )
  return { outcomes, coefficients: Object.fromEntries(table) }
}

function gramOf(sum: LayerSum): Promise<Float64Array> {
  const pairs = sum.parts
    .filter((part) => part.weight !== 0)
    .map(({ rank, scale, a, b }) => ({ rank, a, b, weight: scale }))
  return native().productGram(sum.in, sum.out, pairs)
}
