/** The rules that an update must keep before anything is summed. Nothing is repaired and nothing dropped silently. */
import type { Adapter, AdapterLayer, Layer } from '../adapter/adapter.js'
import type { DenseDelta } from '../adapter/dense.js'
import { adapterSha256, bytesOf, isSameAdapter } from './digest.js'
import { KINDS } from './info.js'
import { norm, norms } from './norm.js'
import { planSha256 } from './plan.js'
import type { Plan } from './plan-schema.js'
import { refusal } from './refusal.js'
import { sharedFactors, withCore } from './shared-factors.js'
import type { Update } from './update.js'

/**
 * Most that a layer's effect may be: scale * |B| * |A| / sqrt(in * out), an upper bound of the root mean square of
 * what is added to the layer's weights; of a whole tensor's change it is that root mean square itself. Base weights lie around 0.02 to 0.1 and fine-tuning moves them by far less, so
 * ten is only reached by training that blew up or by somebody who wants to outshout the others.
 */
export const MAX_EFFECT = 10

interface CheckOptions {
  round: number
  /** digest of what the round started from */
  startSha256: string
  /** what has that digest, where it is at hand: then numbers are compared, and updates need not be hashed for it */
  start?: Pick<Adapter, 'layers' | 'dense'> | undefined
  /** clients already taken in this round */
  taken?: Pick<ReadonlySet<string>, 'has'> | undefined
  /** see MAX_EFFECT, the default */
  maxEffect?: number | undefined
  /** the plan's hash, where many updates are checked against one plan; default: it is computed */
  planHash?: string | undefined
  /** `digestOfLayers` of the plan, likewise */
  digest?: ((layers: readonly AdapterLayer[]) => string) | undefined
}

/** Throws REFUSED, naming client, rule, value and limit, at the first rule that the update breaks. */
export function checkUpdate(plan: Plan, update: Update, o: CheckOptions): void {
  checkOrigin(plan, update, o)
  checkStated(plan, update)
  checkShapes(plan, update)
  checkShared(plan, update)
  const { client } = update.info
  checkLayers(client, update.adapter.layers, o.maxEffect ?? MAX_EFFECT)
  for (const delta of update.adapter.dense) checkDelta(client, delta, o.maxEffect ?? MAX_EFFECT)
  if (plan.train.trainable.kind === 'full') {
    checkChanged(update)
    return
  }
  if (update.adapter.layers.every((layer) => layer.b.every((value) => value === 0))) {
    throw refusal(
      client,
      'non-zero',
      `every ${update.kind === 'fed-sb' ? 'core' : 'lora_B'} is zero`,
      'changed by training',
      'Check that the client trained at all.',
    )
  }
  if (isStart(update.adapter, o)) {
    throw refusal(
      client,
      'trained',
      'the factors are those the round started from',
      'changed by training',
      'Check that the client trained at all.',
    )
  }
}

function isStart({ layers, dense }: Adapter, { start, startSha256, digest }: CheckOptions): boolean {
  if (start !== undefined) return isSameAdapter({ layers, dense }, start)
  return (digest && dense.length === 0 ? digest(layers) : adapterSha256({ layers, dense })) === startSha256
}

/** Where only a part of the factors trains, the rest must be the plan's, whatever the update was made from. */
function checkShared(plan: Plan, { info, adapter, kind, cores }: Update): void {
  const { client } = info
  const fix = "Train with this federation's plan."
  const { kind: agreed } = plan.train.trainable
  if (kind !== agreed) throw refusal(client, 'kinds', `tensors of kinds ${KINDS[kind]}`, KINDS[agreed], fix)
  if (kind !== 'ffa' && kind !== 'fed-sb') return
  const layers = new Map(adapter.layers.map((layer, i) => [layer.name, { layer, core: cores?.[i] }]))
  for (const shared of sharedFactors(plan)) {
    const { layer, core } = layers.get(shared.name) as { layer: AdapterLayer; core: Float32Array | undefined }
    if (!sameNumbers(layer.a, shared.a))
      throw refusal(client, 'frozen', `layer '${shared.name}' with another A`, "the frozen A of the plan's seed", fix)
    if (kind === 'ffa') continue
    if (core === undefined || core.length !== shared.rank ** 2)
      throw refusal(client, 'shape', `layer '${shared.name}' without its core`, `[${shared.rank}, ${shared.rank}]`, fix)
    checkCore(client, shared.name, core)
    if (!sameNumbers(layer.b, withCore(shared, core).b))
      throw refusal(client, 'frozen', `layer '${shared.name}' with another B`, "the frozen B of the plan's seed", fix)
  }
}

function checkCore(client: string, name: string, core: Float32Array): void {
  if (Number.isFinite(norm(core))) return
  const fix = 'Lower the learning rate and train again.'
  throw refusal(client, 'finite', `layer '${name}' holds NaN or infinity in its core`, 'finite numbers', fix)
}

function sameNumbers(left: Float32Array, right: Float32Array): boolean {
  return left === right || Buffer.compare(bytesOf(left), bytesOf(right)) === 0
}

/** A delta is already a difference: one of zeros was not trained. */
function checkChanged({ info, adapter }: Update): void {
  if (adapter.dense.some(({ values }) => values.some((value) => value !== 0))) return
  const fix = 'Check that the client trained at all.'
  throw refusal(info.client, 'non-zero', 'every delta is zero', 'changed by training', fix)
}

/** Plan, client, round and start. */
export function checkOrigin(plan: Plan, update: Pick<Update, 'info'>, o: CheckOptions): void {
  const { client, round, startSha256 } = update.info
  const hash = o.planHash ?? planSha256(plan)
  if (update.info.planSha256 !== hash)
    throw refusal(
      client,
      'plan',
      `plan ${update.info.planSha256}`,
      `plan ${hash}`,
      "Train with this federation's plan.",
    )
  if (plan.clients.length > 0 && !plan.clients.some(({ name }) => name === client)) {
    throw refusal(
      client,
      'client',
      `'${client}'`,
      `one of ${plan.clients
        .map(({ name }) => name)
        .slice(0, 20)
        .join(', ')}`,
      "Use the client's name in the plan.",
    )
  }
  if (o.taken?.has(client))
    throw refusal(client, 'once', 'a second update in this round', 'one update a round', 'Leave one of the two out.')
  if (round !== o.round)
    throw refusal(client, 'round', `round ${round}`, `round ${o.round}`, 'Give only updates of this round.')
  if (startSha256 !== o.startSha256)
    throw refusal(
      client,
      'start',
      `start ${startSha256}`,
      `start ${o.startSha256}`,
      'Train from the adapter of the round before.',
    )
}

/** What an update says must be allowed by the plan's `share`, and there where the weights need it. */
export function checkStated(plan: Plan, update: Pick<Update, 'info'>): void {
  const { client, examples, tokens, lossBefore, lossAfter } = update.info
  const stated = { examples, tokens, losses: lossBefore ?? lossAfter }
  for (const field of ['examples', 'tokens', 'losses'] as const) {
    if (stated[field] === undefined || plan.share.includes(field)) continue
    throw refusal(
      client,
      'share',
      `states ${field}`,
      `only what the plan shares (${plan.share.join(', ') || 'nothing'})`,
      "Train with this federation's plan.",
    )
  }
  const { weights } = plan.aggregate
  if (weights !== 'examples' && weights !== 'tokens') return
  const value = stated[weights]
  if (value === undefined || value < 1) {
    throw refusal(
      client,
      'weight',
      value === undefined ? `no number of ${weights}` : `${value} ${weights}`,
      'at least 1, since the plan weighs by it',
      'Train with a plan that shares it, and with data.',
    )
  }
}

function checkShapes(plan: Plan, update: Update): void {
  const { client } = update.info
  const fix = "Train with this federation's plan."
  const { layers, dense } = update.adapter
  const { trainable } = plan.train
  const tensors = trainable.kind === 'full' ? trainable.tensors : []
  if (dense.length !== tensors.length)
    throw refusal(client, 'tensors', `${dense.length} whole tensors`, `${tensors.length}`, fix)
  const shapes = new Map(tensors.map(({ name, shape }) => [name, shape.join(', ')]))
  for (const { name, shape } of dense) {
    if (shapes.get(name) === shape.join(', ')) continue
    throw refusal(client, 'shape', `tensor '${name}' [${shape.join(', ')}]`, `[${shapes.get(name) ?? 'absent'}]`, fix)
  }
  if (layers.length !== plan.layers.length)
    throw refusal(client, 'layers', `${layers.length} layers`, `${plan.layers.length}`, fix)
  const isInOrder = layers.every(({ name }, i) => name === plan.layers[i]?.name)
  const known = new Map(isInOrder ? [] : plan.layers.map((layer) => [layer.name, layer]))
  layers.forEach((layer, i) => {
    const agreed = isInOrder ? plan.layers[i] : known.get(layer.name)
    if (agreed === undefined) throw refusal(client, 'layers', `layer '${layer.name}'`, 'only layers of the plan', fix)
    const field = SIZES.find((size) => layer[size] !== agreed[size])
    if (field === undefined) return
    throw refusal(
      client,
      field === 'scale' ? 'scale' : 'shape',
      `layer '${layer.name}' with ${field} ${layer[field]}`,
      `${field} ${agreed[field]}`,
      fix,
    )
  })
}

const SIZES = ['in', 'out', 'rank', 'scale'] as const

/** Factors that are finite and within the norm. */
export function checkLayers(client: string, layers: readonly AdapterLayer[], maxEffect: number): void {
  const found = norms(layers.flatMap(({ a, b }) => [a, b]))
  layers.forEach((layer, i) => {
    checkNorms(client, layer, [found[2 * i] ?? Number.NaN, found[2 * i + 1] ?? Number.NaN], maxEffect)
  })
}

/** The same rules where the norms of A and B are known already. */
export function checkNorms(client: string, layer: Layer, norms: readonly [number, number], maxEffect: number): void {
  const [a, b] = norms
  if (!(Number.isFinite(a) && Number.isFinite(b)))
    throw refusal(
      client,
      'finite',
      `layer '${layer.name}' holds NaN or infinity in lora_${Number.isFinite(a) ? 'B' : 'A'}`,
      'finite numbers',
      'Lower the learning rate and train again.',
    )
  const effect = (Math.abs(layer.scale) * a * b) / Math.sqrt(layer.in * layer.out)
  if (effect <= maxEffect) return
  throw refusal(
    client,
    'norm',
    `layer '${layer.name}' with an effect of ${effect.toPrecision(4)}`,
    `at most ${maxEffect}`,
    'Lower the learning rate and train again.',
  )
}

function checkDelta(client: string, { name, values }: DenseDelta, maxEffect: number): void {
  const fix = 'Lower the learning rate and train again.'
  const total = norm(values)
  if (!Number.isFinite(total))
    throw refusal(client, 'finite', `tensor '${name}' holds NaN or infinity`, 'finite numbers', fix)
  const effect = total / Math.sqrt(values.length)
  if (effect <= maxEffect) return
  throw refusal(
    client,
    'norm',
    `tensor '${name}' with an effect of ${effect.toPrecision(4)}`,
    `at most ${maxEffect}`,
    fix,
  )
}
