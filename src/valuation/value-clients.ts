import { type AdapterLayer, makeAdapter } from '../adapter/adapter.js'
import type { DenseDelta } from '../adapter/dense.js'
import { byClient } from '../aggregate/sums.js'
import { resolveWeights } from '../aggregate/weights.js'
import type { Dataset } from '../data/dataset.js'
import { OneroundError } from '../errors.js'
import type { Model } from '../model/open.js'
import { threadsOf } from '../train/job.js'
import { checkBase } from '../train/prepare.js'
import type { Start } from '../train/start.js'
import { checkUpdate } from '../update/checks.js'
import { type Plan, planSha256 } from '../update/plan.js'
import type { Update } from '../update/update.js'
import { clientValues } from './client-values.js'
import { allCoalitions, type Coalition, everybody, leaveOneOutCoalitions, nobody, total } from './coalition.js'
import { coalitionLosses, type Round } from './coalition-losses.js'
import { cosines } from './cosines.js'
import { findingsOf } from './findings.js'
import { HeldOut } from './held-out.js'
import { checkLearnable, type Learnable, type Learned, learn } from './learn.js'
import { openMixture } from './mixture.js'
import type { ValueOptions } from './options.js'
import { coalitionsOf, joiningOrders } from './orders.js'
import { MOST_EXACT } from './shapley.js'
import type { Valuation } from './valuation.js'

const DEFAULT_SAMPLES = 32
const MOST_SAMPLES = 100_000
const MOST_CLIENTS = 1000

/**
 * What each client's update adds on held-out text, from updates alone: nothing is trained again. A coalition is the round's
 * start plus the sum of its members' updates, weighted by the plan's rule renormalised in it; its worth is how much lower
 * its loss is than the start's. Members of weight 0 alone are nobody.
 * @param updates single updates of one round: where only their sum is known (secure sums), no client can be valued
 * @throws OneroundError ARGUMENT, REFUSED (an update breaks a rule), MISMATCH, MEMORY, NUMERIC, ABORTED
 */
export async function valueClients(
  base: Model,
  plan: Plan,
  start: Start,
  updates: readonly Update[],
  data: Dataset,
  o: ValueOptions = {},
): Promise<Valuation> {
  const sorted = checkedUpdates(plan, start, updates)
  const samples = checkSamples(o.samples, sorted.length)
  const heldOut = new HeldOut(data)
  const learnables = [...new Set(o.learn ?? [])]
  if (learnables.length > 0) checkLearnable(heldOut)
  await checkBase(base, plan)
  const shape = { threads: threadsOf(o), ...heldOut.shape }
  const round = { base, plan, start, updates: sorted, weights: weightsOf(plan, sorted), heldOut, shape }
  const alike = await cosines(start, sorted, o.signal)
  const seed = o.seed ?? plan.train.seed
  const orders = samples === undefined ? undefined : joiningOrders(sorted.length, samples, seed)
  const wanted = wantedCoalitions(sorted.length, orders)
  const losses = await coalitionLosses(round, wanted, o)
  const mean = (coalition: Coalition) => total(losses(coalition)) / total(heldOut.tokens)
  const clients = clientValues(round, losses, alike, orders)
  const learned = await learnAll(learnables, round, o)
  return {
    version: 1,
    planSha256: planSha256(plan),
    round: start.round,
    data: { sha256: heldOut.sha256, examples: heldOut.examples.length, tokens: total(heldOut.tokens) },
    method: orders === undefined ? 'exact' : 'sampled',
    ...(orders === undefined ? {} : { samples: orders.length }),
    seed,
    evaluations: wanted.length,
    baseLoss: mean(nobody(sorted.length)),
    loss: mean(everybody(sorted.length)),
    clients,
    findings: findingsOf(clients, alike),
    learned,
  }
}

/** By client name; every rule that the sum would hold them to, and layers and tensors in the plan's order. */
function checkedUpdates(plan: Plan, start: Start, updates: readonly Update[]): Update[] {
  if (updates.length === 0 || updates.length > MOST_CLIENTS) {
    throw new OneroundError('ARGUMENT', 'Values are of the clients of one round.', {
      found: `${updates.length} updates`,
      expected: `1 to ${MOST_CLIENTS}`,
      fix: 'Give the updates of one round.',
    })
  }
  const taken = new Set<string>()
  for (const update of updates) {
    checkUpdate(plan, update, { round: start.round, startSha256: start.sha256, taken })
    taken.add(update.info.client)
  }
  return byClient(updates).map((update) => inOrder(plan, update))
}

function inOrder({ layers, train }: Plan, update: Update): Update {
  const factors = new Map(update.adapter.layers.map((layer) => [layer.name, layer]))
  const deltas = new Map(update.adapter.dense.map((delta) => [delta.name, delta]))
  const tensors = train.trainable.kind === 'full' ? train.trainable.tensors : []
  const adapter = makeAdapter(
    layers.map(({ name }) => factors.get(name) as AdapterLayer),
    tensors.map(({ name }) => deltas.get(name) as DenseDelta),
  )
  return { ...update, adapter }
}

function checkSamples(samples: number | undefined, clients: number): number | undefined {
  const wanted = samples ?? (clients <= MOST_EXACT ? undefined : DEFAULT_SAMPLES)
  if (wanted === undefined || (Number.isSafeInteger(wanted) && wanted >= 1 && wanted <= MOST_SAMPLES)) return wanted
  throw new OneroundError('ARGUMENT', 'The number of samples is not usable.', {
    found: String(samples),
    expected: `a whole number from 1 to ${MOST_SAMPLES}`,
    fix: 'Leave it out (--samples), or give such a number.',
  })
}

function weightsOf(plan: Plan, updates: readonly Update[]): number[] {
  const infos = updates.map(({ info }) => info)
  const weights = resolveWeights(plan.aggregate.weights, infos)
  return infos.map(({ client }) => weights[client] ?? 0)
}

function wantedCoalitions(clients: number, orders: readonly Int32Array[] | undefined): Coalition[] {
  const others = orders === undefined ? allCoalitions(clients) : coalitionsOf(orders)
  return [...new Set([...leaveOneOutCoalitions(clients), ...others])]
}

async function learnAll(kinds: readonly Learnable[], round: Round, o: ValueOptions): Promise<Learned[]> {
  const { base, start, updates, weights, heldOut, shape } = round
  if (kinds.length === 0) return []
  using mixture = openMixture(base, start, updates, { ...shape, training: true }, { onMemory: o.onMemory })
  const clients = updates.map(({ info }) => info.client)
  const learned: Learned[] = []
  for (const kind of kinds) learned.push(await learn(kind, clients, weights, mixture, heldOut, o))
  return learned
}
