import { createHash } from 'node:crypto'
import type { Adapter } from '../adapter/adapter.js'
import { order } from '../data/batches.js'
import type { Dataset } from '../data/dataset.js'
import { OneroundError } from '../errors.js'
import type { Model } from '../model/open.js'
import type { NativeSession } from '../native/binding.js'
import type { Plan } from '../update/plan.js'
import { planSha256 } from '../update/plan.js'
import { makeUpdate, shareable, type Update, type UpdateInfo } from '../update/update.js'
import {
  type CheckpointIdentity,
  captureState,
  dropCheckpoint,
  readCheckpoint,
  restoreState,
  saveCheckpoint,
} from './checkpoint.js'
import { Clock, isAborted, type JobOptions, threadsOf } from './job.js'
import { runSteps, type StepRecord } from './local.js'
import type { MemoryNotice } from './memory.js'
import { checkBase, type Prepared, prepare } from './prepare.js'
import { meanLoss, sumLosses } from './score.js'
import { SessionPool } from './session.js'
import { flatten, unflatten } from './slots.js'
import { type Start, startOfRound } from './start.js'

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
  /** lends its session; memory is shared, no number is. Without it a session is made and closed here */
  sessions?: SessionPool | undefined
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
  /** flat, as the session has them */
  parameters: Float32Array
  /** sum of the learning rates of all steps */
  rates: number
  optimizer: OptimizerState
}

/**
 * One client's training of one round. The update holds the trained factors and only the numbers that plan.share allows.
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
  const prepared = prepare(data, plan, start, threadsOf(o), o.recompute ?? false, o.correction !== undefined)
  const pool = o.sessions ?? new SessionPool(base, 1, { onMemory: o.onMemory })
  const session = pool.acquire(prepared.session)
  try {
    return await trainIn(session, prepared, data, plan, start, o)
  } finally {
    pool.release(session)
    if (o.sessions === undefined) pool.close()
  }
}

async function trainIn(
  session: NativeSession,
  prepared: Prepared,
  data: Dataset,
  plan: Plan,
  start: Start,
  o: TrainJobOptions,
): Promise<Update> {
  const { training, heldOut, perStep, stepsPerEpoch, stepsBefore, steps, schedule, shape } = prepared
  const identity = checkpointIdentity(plan, start, data, o.client)
  const saved =
    o.resume && o.checkpoint ? await readCheckpoint(o.checkpoint, identity, session.parameterCount) : undefined
  if (saved) restoreState(session, saved)
  else resetSession(session, start, o.optimizerState)
  if (prepared.proximal > 0) session.setAnchor(flatten(start.trained.layers))
  if (o.correction) session.setCorrection(o.correction)
  const held = async () =>
    heldOut.tokens > 0
      ? meanLoss(await sumLosses(session, heldOut.examples, { ...shape, signal: o.signal }))
      : undefined
  const lossBefore = saved ? saved.numbers.lossBefore : await held()
  const numbers: Record<string, number> = lossBefore === undefined ? {} : { lossBefore }
  numbers.rates = saved?.numbers.rates ?? 0

  const rowsOfEpoch = training.examples.reduce((sum, example) => sum + example.ids.length, 0)
  const total = Math.round((rowsOfEpoch * steps) / stepsPerEpoch)
  let stepsDone = saved?.stepsDone ?? 0
  let rows = Math.floor((stepsDone / stepsPerEpoch) * rowsOfEpoch)
  const clock = new Clock(rows)
  const report = (loss?: number) =>
    o.onProgress?.({
      phase: 'train',
      client: o.client,
      round: start.round,
      done: Math.min(rows, total),
      total,
      secondsLeft: clock.secondsLeft(rows, total),
      ...(loss === undefined ? {} : { loss }),
    })
  const keep = async () => {
    if (o.checkpoint) await saveCheckpoint(o.checkpoint, identity, captureState(session, stepsDone, numbers))
  }
  let lastKept = performance.now()
  report()
  try {
    await runSteps({
      session,
      examples: training.examples,
      orderOf: o.orderOf ?? ((epoch) => order(training.count, plan.train.seed, epoch)),
      steps,
      stepsBefore,
      proximal: prepared.proximal,
      perStep,
      schedule,
      optimizer: plan.train,
      stepsDone,
      signal: o.signal,
      async onStep(record) {
        stepsDone = record.step
        rows += record.rows
        numbers.rates = (numbers.rates ?? 0) + record.learningRate
        report(record.loss)
        await o.onStep?.(record)
        if (performance.now() - lastKept >= (o.checkpointSeconds ?? 30) * 1000) {
          await keep()
          lastKept = performance.now()
        }
      },
    })
  } catch (error) {
    // The parameters are those of the last whole step, so what was trained so far is not lost.
    if (isAborted(error)) await keep()
    throw error
  }
  let lossAfter: number | undefined
  try {
    lossAfter = await held()
  } catch (error) {
    if (isAborted(error)) await keep()
    throw error
  }
  const info: UpdateInfo = {
    client: o.client,
    planSha256: planSha256(plan),
    round: start.round,
    startSha256: start.sha256,
    examples: training.count,
    tokens: training.tokens,
  }
  if (lossBefore !== undefined) info.lossBefore = lossBefore
  if (lossAfter !== undefined) info.lossAfter = lossAfter
  // Of all this only what the plan's agreement shares goes into the update.
  const update = makeUpdate(shareable(plan, info), unflatten(plan.layers, session.parameters()))
  o.onEnd?.({ parameters: session.parameters(), rates: numbers.rates, optimizer: session.optimizerState() })
  if (o.checkpoint && !o.keepCheckpoint) await dropCheckpoint(o.checkpoint)
  return update
}

/** What one call without memory cannot do is refused: training on without it would be another method, silently. */
function checkAlone(plan: Plan, o: TrainJobOptions & { round?: number }): void {
  const name = plan.strategy?.name
  if (name === 'scaffold' || name === 'fedbuff') {
    throw new OneroundError('UNSUPPORTED', `The strategy '${name}' is not built for single update files yet.`, {
      found: name,
      expected: name === 'scaffold' ? 'control variates beside the updates' : 'a clock over all clients',
      fix: 'Run it with simulate.',
    })
  }
  if (plan.train.optimizerState !== 'kept' || (o.round ?? 1) === 1 || o.optimizerState) return
  throw new OneroundError(
    'ARGUMENT',
    `The plan keeps optimizer states, and none of round ${(o.round ?? 1) - 1} is given.`,
    {
      found: 'no optimizerState',
      expected: 'what onEnd told of the round before',
      fix: 'Pass it (API: optimizerState), or run the federation with simulate.',
    },
  )
}

/** The server would refuse the update of a stranger; better before hours of training. */
function checkClient(plan: Plan, client: string): void {
  const names = plan.clients.map(({ name }) => name)
  if (names.length === 0 || names.includes(client)) return
  throw new OneroundError('MISMATCH', `The plan has no client '${client}'.`, {
    found: client,
    expected: names.slice(0, 20).join(', '),
    fix: "Give the client's name in the plan.",
  })
}

/** Sets everything that a session carries from step to step: nothing of its last owner is left. */
function resetSession(session: NativeSession, start: Start, kept: OptimizerState | undefined): void {
  const parameters = flatten(start.trained.layers)
  session.setParameters(parameters)
  const none = { first: new Float32Array(parameters.length), second: new Float32Array(parameters.length), steps: 0 }
  session.setOptimizerState(kept ?? none)
}

function checkpointIdentity(plan: Plan, start: Start, data: Dataset, client: string): CheckpointIdentity {
  return { plan: planSha256(plan), client, round: String(start.round), start: start.sha256, data: dataDigest(data) }
}

/** SHA-256 of the examples' token ids, labels and counters, in order; cheap beside training on them. */
export function dataDigest(data: Dataset): string {
  const hash = createHash('sha256')
  for (const { id, ids, labels } of data.examples) {
    hash.update(new Int32Array([id, ids.length]))
    hash.update(ids)
    hash.update(labels)
  }
  return hash.digest('hex')
}
