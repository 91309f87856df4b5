// What a server can do in the same one round to lose less. What is fitted is fitted on the validation half of the held-out
// examples; all are told on the other half.
import { openAggregator } from '../dist/aggregate/aggregator.js'
import { resolveWeights } from '../dist/aggregate/weights.js'
import { makeDataset } from '../dist/data/dataset.js'
import { validationPart } from '../dist/diagnose/best.js'
import { measureLambda, scaled } from '../dist/diagnose/lambda.js'
import { exactOf, updatesOf } from '../dist/diagnose/run-evidence.js'
import { planOfArm } from '../dist/federation/arms.js'
import { judge } from '../dist/federation/judge.js'
import { measureFisher } from '../dist/train/fisher.js'
import { startOfRound } from '../dist/train/start.js'
import { HeldOut } from '../dist/valuation/held-out.js'
import { learn } from '../dist/valuation/learn.js'
import { openMixture } from '../dist/valuation/mixture.js'

/** @returns by remedy: its losses on the test half, item by item, beside those of the plain mean and of the base */
export async function remediesOf({ base, clients, evidence, settings, told, o }) {
  const one = `1x${settings.horizon}`
  const plan = planOfArm(evidence.plan, { rounds: 1, epochs: settings.horizon })
  const [mean, updates] = [await exactOf(evidence, one), await updatesOf(evidence, one, 1)]
  const heldOut = new Map(evidence.clients.map((name) => [name, clients[name].heldOut(settings.heldOut).heldOut]))
  const isTest = validationPart([...heldOut.values()], plan.train.seed).map((validation) => !validation)
  const adapters = new Map([['mean', mean]])
  const lambda =
    told?.lambda && 'best' in told.lambda ? told.lambda : await measureLambda(base, mean, heldOut, plan.train.seed, o)
  adapters.set('lambda', scaled(mean, lambda.best.lambda))
  if (lambda.perLayer)
    adapters.set(
      'lambda by tensor',
      scaled(mean, new Map(lambda.perLayer.lambdas.map((row) => [row.name, row.lambda]))),
    )
  const validation = [...heldOut.values()].flatMap(({ examples }) => [...examples]).filter((_, i) => !isTest[i])
  const sum = await openAggregator(plan, undefined, o)
  for (const update of updates) await sum.add(update)
  const weights = await learnedWeights(base, plan, updates, validation, o)
  const rank = settings.rank * updates.length
  const statistics = {}
  for (const update of updates) {
    const { client } = update.info
    statistics[client] = await measureFisher(base, clients[client], plan, update, o)
  }
  for (const [name, finish] of Object.entries({
    'learned weights': { weights, method: 'stack' },
    'uniform weights': { weights: 'uniform', method: 'stack' },
    Fisher: { method: 'fisher', statistics },
    TIES: { method: 'ties', rank },
    DARE: { method: 'dare', rank },
    KnOTS: { method: 'knots', rank },
    median: { method: 'median', rank },
  }))
    adapters.set(name, (await sum.finish(finish)).adapter)
  const rows = new Map()
  const test = partOf(heldOut, isTest)
  for (const [name, adapter] of adapters) rows.set(name, await judge(base, adapter, test, o))
  const none = await judge(base, undefined, test, o)
  const take = ({ items }, field) => [...test.keys()].flatMap((client) => items[client][field])
  return {
    seed: plan.train.seed,
    tokens: take(none, 'tokens'),
    base: take(none, 'losses'),
    lambda: lambda.best.lambda,
    losses: Object.fromEntries([...rows].map(([name, row]) => [name, take(row, 'losses')])),
  }
}

/** Some of the held-out examples by client; a client without any is left out. */
function partOf(heldOut, isTaken) {
  let at = 0
  const parts = [...heldOut].map(([client, { examples }]) => [client, examples.filter(() => isTaken[at++])])
  return new Map(parts.filter(([, some]) => some.length > 0).map(([client, some]) => [client, makeDataset(some)]))
}

/** Weights on the simplex by descent along the engine's gradient; a weight of 0 is not one that a sum takes. */
async function learnedWeights(base, plan, updates, validation, o) {
  const heldOut = new HeldOut(makeDataset(validation))
  const shares = resolveWeights(
    plan.aggregate.weights,
    updates.map(({ info }) => info),
  )
  const clients = updates.map(({ info }) => info.client)
  const start = startOfRound(plan, 1)
  const mixture = openMixture(base, start, updates, { ...heldOut.shape, ...o, training: true })
  try {
    const { weights } = await learn(
      'weights',
      clients,
      clients.map((client) => shares[client]),
      mixture,
      heldOut,
      o,
    )
    return Object.fromEntries(Object.entries(weights).map(([client, weight]) => [client, Math.max(weight, 1e-9)]))
  } finally {
    mixture[Symbol.dispose]()
  }
}
