import type { Dataset } from '../data/dataset.js'
import { OneroundError } from '../errors.js'
import type { Model } from '../model/open.js'
import { baseTensors } from '../model/tensors.js'
import type { SessionOptions } from '../native/binding/session.js'
import type { FullTrainable, Plan } from '../update/plan.js'
import { type PassShape, passShape } from './budget.js'
import { computeOf } from './compute.js'
import { stepsPerEpoch } from './example-batches.js'
import type { Schedule } from './schedule.js'
import { planSlots } from './slots.js'
import type { Start } from './start.js'

/** Everything that is fixed about one client's training before anything is computed. */
export interface Prepared {
  training: Dataset
  /** the last plan.data.heldOut of the client's examples */
  heldOut: Dataset
  shape: PassShape
  session: SessionOptions
  /** examples per optimizer step: batch x accumulate, the gradient of one large batch */
  perStep: number
  /** optimizer steps of one epoch, of the rounds before and of this round */
  stepsPerEpoch: number
  stepsBefore: number
  steps: number
  /** FedProx's mu; 0: none */
  proximal: number
  schedule: Schedule
}

/** `corrected`: SCAFFOLD adds a correction to each gradient */
export function prepare(
  data: Dataset,
  plan: Plan,
  start: Start,
  threads: number,
  recompute?: boolean,
  corrected = false,
): Prepared {
  const { train: training, heldOut } = data.heldOut(plan.data.heldOut)
  if (training.tokens === 0) {
    throw new OneroundError('ARGUMENT', 'There is nothing to train on.', {
      found: `${data.count} examples, ${training.tokens} trained tokens outside the held-out part`,
      expected: 'at least one trained token',
      fix: 'Give this client more examples, or raise data.cutoff.',
    })
  }
  const { train } = plan
  const perStep = train.batch * train.accumulate
  const shape = passShape(data.examples, perStep)
  const perEpoch = stepsPerEpoch(training.count, perStep)
  const ends = (round: number) => Math.round(round * train.epochs * perEpoch)
  const stepsBefore = ends(start.round - 1)
  const steps = ends(start.round) - stepsBefore
  if (steps === 0) throw emptyRound(start.round, train.epochs, perEpoch)
  const proximal = proximalOf(plan)
  return {
    training,
    heldOut,
    shape,
    session: {
      ...sessionOptions(plan, start.frozen, shape, threads, recompute),
      ...(corrected ? { corrected: true } : {}),
    },
    perStep,
    stepsPerEpoch: perEpoch,
    stepsBefore,
    steps,
    proximal,
    schedule: {
      kind: train.schedule,
      learningRate: train.learningRate,
      warmup: train.warmup,
      totalSteps: ends(plan.rounds),
    },
  }
}

/** What a plan asks of a session, whoever trains in it. */
export function sessionOptions(
  plan: Plan,
  overlay: SessionOptions['overlay'],
  shape: PassShape,
  threads: number,
  recompute?: boolean,
): SessionOptions {
  return {
    slots: planSlots(plan),
    overlay,
    threads,
    compute: computeOf(plan.train.compute),
    ...shape,
    training: true,
    ...(recompute === undefined ? {} : { recompute }),
    ...(proximalOf(plan) > 0 ? { anchored: true } : {}),
  }
}

function proximalOf({ strategy }: Plan): number {
  return strategy?.name === 'fedprox' ? strategy.mu : 0
}

function emptyRound(round: number, epochs: number, perEpoch: number): OneroundError {
  return new OneroundError('ARGUMENT', `Round ${round} has no optimizer step for this client.`, {
    found: `${epochs} epochs a round, ${perEpoch} steps an epoch`,
    expected: 'at least one step in every round',
    fix: 'Raise train.epochs, lower train.batch, or give this client more examples.',
  })
}

/** Refuses a base that is not the plan's. Its digest covers the weights, whatever files they lie in. */
export async function checkBase(base: Model, plan: Plan): Promise<void> {
  const { sha256, tokenizerSha256 } = await base.id()
  const rows = [
    ['base', sha256, plan.base.sha256],
    ["base's tokenizer", tokenizerSha256, plan.base.tokenizerSha256],
  ] as const
  for (const [what, found, expected] of rows) {
    if (found === expected) continue
    throw new OneroundError('MISMATCH', `The ${what} is not the one of the plan.`, {
      found,
      expected,
      fix: `Open ${plan.base.id}, or make a plan for this base.`,
    })
  }
  if (plan.train.trainable.kind === 'full') checkTensors(base, plan.train.trainable)
}

/** The tensors are looked at before anything is laid out by their sizes. */
function checkTensors(base: Model, { tensors }: FullTrainable): void {
  const own = new Map(baseTensors(base.spec).map(({ name, shape }) => [name, shape.join(', ')]))
  const wrong = tensors.find(({ name, shape }) => own.get(name) !== shape.join(', '))
  if (wrong === undefined && own.size === tensors.length) return
  throw new OneroundError('MISMATCH', 'The plan does not list the tensors of this base.', {
    found: wrong === undefined ? `${tensors.length} tensors` : `${wrong.name} [${wrong.shape.join(', ')}]`,
    expected: wrong === undefined ? `${own.size}` : `[${own.get(wrong.name) ?? 'no such tensor'}]`,
    fix: 'Make the plan for this base.',
  })
}
