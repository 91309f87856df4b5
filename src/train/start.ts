import { type Adapter, makeAdapter } from '../adapter/adapter.js'
import { splitCarried } from '../adapter/carried.js'
import { type DenseDelta, layerOfWeight, weightOfLayer } from '../adapter/dense.js'
import { denseTensors } from '../adapter/dense-tensors.js'
import { type InitA, initialAdapter } from '../adapter/initial.js'
import { isConv1d } from '../adapter/peft-save.js'
import { OneroundError } from '../errors.js'
import { turn } from '../model/tensors.js'
import type { DenseOverlay, OverlayLayer } from '../native/binding/overlay.js'
import { adapterSha256 } from '../update/digest.js'
import type { FullTrainable, Plan } from '../update/plan.js'
import { sharedStart } from './shared.js'
import { overlayOf } from './slots.js'

/** What every client of a round starts from. */
export interface Start {
  round: number
  /** the factors that train: plan.layers, one for one, with the plan's scale; none where whole tensors train */
  trained: Adapter
  /** factors that are added to the base without being trained: the rest of the exact aggregate; empty in round 1 */
  overlay: OverlayLayer[]
  /** the same as whole matrices; where whole tensors train, what they are off the base when the round starts */
  dense: readonly DenseDelta[]
  /** what is frozen, as a session takes it; one list for all clients of the round */
  frozen: (OverlayLayer | DenseOverlay)[]
  /** digest of the adapter that defines the start: the seeded one in round 1, the exact aggregate later */
  sha256: string
  /** the exact aggregate that it was made of: trained + overlay without the random A; none in round 1 */
  exact?: Adapter | undefined
}

/** Seed and kind of A's random start, as the plan says. */
function initOf(plan: Plan): { seed: number; initA: InitA } {
  const { trainable, seed } = plan.train
  return { seed, initA: 'initA' in trainable ? trainable.initA : 'kaiming' }
}

/** Round 1: A from the plan's seed, B (or the core) zero; the same for every client, so it travels as the seed in the plan. */
export function initialStart(plan: Plan): Start {
  const { seed, initA } = initOf(plan)
  const trained = isShared(plan) ? sharedStart(plan) : initialAdapter(plan.layers, seed, initA)
  return { round: 1, trained, overlay: [], dense: [], frozen: [], sha256: adapterSha256(trained) }
}

/**
 * The start of a round: the plan's seed in round 1, later the exact aggregate of the rounds before. `carried`: its best
 * rank-r part trains while the rest stays frozen beside the base; `fresh`: all of it stays frozen.
 */
export function startOfRound(plan: Plan, round: number, exact: Adapter | undefined): Start {
  if (!Number.isSafeInteger(round) || round < 1 || round > plan.rounds) {
    throw new OneroundError('ARGUMENT', `Round ${round} is not in the plan.`, {
      found: String(round),
      expected: `1 to ${plan.rounds}`,
      fix: "Give a round within the plan's rounds.",
    })
  }
  if (round === 1) {
    if (exact === undefined) return initialStart(plan)
    throw new OneroundError('ARGUMENT', 'Round 1 starts from the seed in the plan.', {
      found: 'a start adapter',
      expected: 'none',
      fix: 'Leave out the start (--start), or give the round that it starts (--round).',
    })
  }
  if (exact === undefined) {
    throw new OneroundError('ARGUMENT', `Round ${round} needs the aggregate of round ${round - 1}.`, {
      found: 'no start adapter',
      expected: 'the folder that the server made',
      fix: 'Give it with --start (API: start).',
    })
  }
  return startFrom(plan, round, exact)
}

/**
 * The start of a client's visit at an aggregate; undefined: nothing has been aggregated yet. A client of an asynchronous
 * federation may be at its second visit then.
 */
export function startFrom(plan: Plan, round: number, exact: Adapter | undefined): Start {
  if (exact === undefined) return { ...initialStart(plan), round }
  const common = { round, sha256: adapterSha256(exact), exact }
  if (plan.train.trainable.kind === 'full') {
    checkTensors(exact, plan.train.trainable)
    return { ...common, trained: makeAdapter([]), overlay: [], dense: exact.dense, frozen: [] }
  }
  if (isShared(plan)) return { ...common, trained: sharedStart(plan, exact), overlay: [], dense: [], frozen: [] }
  if (plan.start === 'fresh') {
    const parts = { overlay: overlayOf(exact), dense: exact.dense }
    return { ...common, ...parts, trained: freshFactors(plan, round), frozen: frozenOf(exact) }
  }
  const { trainable, overlay, dense } = splitCarried(exact, plan.layers, initOf(plan))
  return { ...common, trained: trainable, overlay, dense, frozen: [...overlay, ...dense.map(denseOverlay)] }
}

/** A whole adapter as a session takes it, each layer once: where it is factors and a matrix, their sum. */
function frozenOf(exact: Adapter): (OverlayLayer | DenseOverlay)[] {
  const whole = new Set(exact.dense.map(({ name }) => name))
  const isWhole = ({ name }: { name: string }) => whole.has(weightOfLayer(name))
  const both = denseTensors({ layers: exact.layers.filter(isWhole), dense: exact.dense })
  const factors = makeAdapter(exact.layers.filter((layer) => !isWhole(layer)))
  return [...overlayOf(factors), ...[...both.values()].map(denseOverlay)]
}

/** The same start at another visit of a client: what is frozen and the digest are shared. */
export function atVisit(plan: Plan, start: Start, round: number): Start {
  const isRedrawn = plan.start === 'fresh' && start.exact !== undefined && plan.layers.length > 0
  return { ...start, round, trained: isRedrawn ? freshFactors(plan, round) : start.trained }
}

/**
 * New factors with B = 0. A is drawn anew each round, so that rounds do not all move in the same few directions; only
 * SCAFFOLD stays with round 1's, since its control variates of earlier rounds are coordinates along those.
 */
function freshFactors(plan: Plan, round: number): Adapter {
  const { seed, initA } = initOf(plan)
  const drawn = plan.strategy?.name === 'scaffold' ? 1 : round
  return initialAdapter(plan.layers, seed, initA, undefined, (drawn - 1) * plan.layers.length)
}

function isShared({ train }: Plan): boolean {
  return train.trainable.kind === 'ffa' || train.trainable.kind === 'fed-sb'
}

/** A full round starts from deltas of exactly the plan's tensors. */
function checkTensors(exact: Adapter, { tensors }: FullTrainable): void {
  const shapes = new Map(exact.dense.map(({ name, shape }) => [name, shape.join(', ')]))
  const wrong = tensors.find(({ name, shape }) => shapes.get(name) !== shape.join(', '))
  if (wrong === undefined && exact.dense.length === tensors.length && exact.layers.length === 0) return
  throw new OneroundError('MISMATCH', 'The start does not hold the tensors that the plan trains.', {
    found: wrong === undefined ? 'others beside them' : `${wrong.name} [${shapes.get(wrong.name) ?? 'absent'}]`,
    expected: wrong === undefined ? `${tensors.length} tensors` : `[${wrong.shape.join(', ')}]`,
    fix: 'Start from the adapter of the round before, made with this plan.',
  })
}

/** The engine takes [out, in]; GPT-2's Conv1D weights lie the other way round. */
function denseOverlay({ name, shape, values }: DenseDelta): DenseOverlay {
  const layer = layerOfWeight(name)
  return { layer, dense: isConv1d(layer) ? turn(values, shape[0] ?? 0, shape[1] ?? 0) : values }
}
