import type { Adapter } from '../adapter/adapter.js'
import type { Dataset } from '../data/dataset.js'
import { OneroundError } from '../errors.js'
import type { Model } from '../model/open.js'
import type { NativeSession } from '../native/binding/session.js'
import type { Plan } from '../update/plan.js'
import type { Update } from '../update/update.js'
import type { EvaluationRecord } from './evaluations.js'
import { type JobOptions, threadsOf } from './job.js'
import type { StepRecord } from './local.js'
import type { MemoryNotice } from './memory.js'
import { checkBase, prepare } from './prepare.js'
import { type SessionLender, SessionPool } from './session.js'
import { type Start, startOfRound } from './start.js'
import { trainIn } from './training.js'

export interface TrainJobOptions extends JobOptions {
  /** a name of plan.clients */
  client: string
  /** file of the checkpoint; written every `checkpointSeconds` and at an abort, removed at the end */
  checkpoint?: string | undefined
  /** default 30 */
  checkpointSeconds?: number | undefined
  /** leave the checkpoint's removal to the caller, who wants the update to be safe first */
  keepCheckpoint?: boolean | undefined
  /** go on from the checkpoint where there is one; the result is bit-equal with an uninterrupted run */
  resume?: boolean | undefined
  /** told once, before anything is allocated */
  onMemory?: ((notice: MemoryNotice) => void) | undefined
  onStep?: ((record: StepRecord) => void | Promise<void>) | undefined
  /** told of each look at the held-out part that plan.train.evaluateEvery asks for */
  onEvaluation?: ((record: EvaluationRecord) => void | Promise<void>) | undefined
  /** lends the session; memory is shared, no number is. Without it a session is made and closed here */
  sessions?: SessionLender | undefined
  /** the moments of the client's last round, where the plan keeps them; default: none */
  optimizerState?: OptimizerState | undefined
  /** is added to every gradient, flat as the parameters: SCAFFOLD's c - c_i */
  correction?: Float32Array | undefined
  /** told at the end, what stays at the client */
  onEnd?: ((end: TrainingEnd) => void) | undefined
  /** the examples' order in an epoch (counted from 0 over all rounds); default: data/batches `order` of the plan's seed */
  orderOf?: ((epoch: number) => Int32Array) | undefined
}

/** Moments and step count of AdamW; of SGD the velocity is the first. */
export type OptimizerState = ReturnType<NativeSession['optimizerState']>

/** Where a client's training ended, beyond what its update says. */
export interface TrainingEnd {
  /** sum of the learning rates of all steps */
  rates: number
  optimizer: OptimizerState
}

export { dataDigest } from './training.js'

/**
 * One client's training of one round. The update holds the trained factors, or every tensor's change, and only the numbers that plan.share allows.
 * @param data the client's examples; the last plan.data.heldOut of them are not trained on and give lossBefore and lossAfter
 * @param o.round from 1; @param o.start the server's exact aggregate of the round before, none in round 1
 * @throws OneroundError MISMATCH (another base), MEMORY, NUMERIC (a loss that is not finite), ABORTED, UNSUPPORTED
 */
export async function train(
  base: Model,
  data: Dataset,
  plan: Plan,
  o: TrainJobOptions & { round?: number; start?: Adapter },
): Promise<Update> {
  checkClient(plan, o.client)
  checkAlone(plan, o)
  await checkBase(base, plan)
  return trainFrom(base, data, plan, startOfRound(plan, o.round ?? 1, o.start), o)
}

/** As `train`, from a start that is already made (and shared by the clients of a round), with a base already checked. */
export async function trainFrom(
  base: Model,
  data: Dataset,
  plan: Plan,
  start: Start,
  o: TrainJobOptions,
): Promise<Update> {
  const prepared = prepare(data, plan, start, threadsOf(o), o.recompute, o.correction !== undefined)
  using own = o.sessions ? undefined : new SessionPool(base, 1, { onMemory: o.onMemory })
  const lender = o.sessions ?? (own as SessionPool)
  const session = lender.acquire(prepared.session)
  try {
    return await trainIn(session, prepared, base, data, plan, start, o)
  } finally {
    lender.release(session)
  }
}

/** What one call without memory cannot do is refused: training on without it would be another method, silently. */
function checkAlone(plan: Plan, o: TrainJobOptions & { round?: number }): void {
  const name = plan.strategy?.name
  if (name === 'scaffold' || name === 'fedbuff') {
    throw new OneroundError('UNSUPPORTED', `The strategy '${name}' needs more than data and a start.`, {
      found: name,
      expected: name === 'scaffold' ? 'control variates' : 'visits to a server that has moved on',
      fix: 'Give the files of the round before: oneround train (API: visit). Or run it with simulate.',
    })
  }
  const round = o.round ?? 1
  if (plan.train.optimizerState !== 'kept' || round === 1 || o.optimizerState) return
  throw new OneroundError('ARGUMENT', `The plan keeps optimizer states, and none of round ${round - 1} is given.`, {
    found: 'no optimizerState',
    expected: 'what onEnd told of the round before',
    fix: 'Pass it (API: optimizerState), or its file (oneround train --last; API: visit).',
  })
}

/** The server would refuse the update of a stranger; better before hours of training. */
export function checkClient(plan: Plan, client: string): void {
  const names = plan.clients.map(({ name }) => name)
  if (names.length === 0 || names.includes(client)) return
  throw new OneroundError('MISMATCH', `The plan has no client '${client}'.`, {
    found: client,
    expected: names.slice(0, 20).join(', '),
    fix: "Give the client's name in the plan.",
  })
}
