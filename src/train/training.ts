/** One client's training of one round, in a session that is open. */
import { createHash } from 'node:crypto'
import { makeAdapter } from '../adapter/adapter.js'
import { order } from '../data/batches.js'
import type { Dataset } from '../data/dataset.js'
import type { Model } from '../model/open.js'
import { digestParts, sha256Of } from '../text/digest.js'
import { bytesOf } from '../update/digest.js'
import type { Plan } from '../update/plan.js'
import { planSha256 } from '../update/plan.js'
import { makeUpdate, shareable, type Trained, type Update, type UpdateInfo } from '../update/update.js'
import { type CheckpointIdentity, captureState, dropCheckpoint, readCheckpoint, restoreState } from './checkpoint.js'
import { changesOf, loadDense } from './dense.js'
import { Evaluations, stepsBetween } from './evaluations.js'
import { exampleBatches } from './example-batches.js'
import { Clock } from './job.js'
import { Keeper } from './keeper.js'
import { runSteps } from './local.js'
import { optimizerOf } from './optimizer.js'
import type { Prepared } from './prepare.js'
import { meanLoss, sumLosses } from './score.js'
import type { TrainingSession } from './session.js'
import { sharedParameters, sharedTrained } from './shared.js'
import { flatten, unflatten } from './slots.js'
import type { Start } from './start.js'
import type { TrainJobOptions } from './train.js'

export async function trainIn(
  session: TrainingSession,
  prepared: Prepared,
  base: Model,
  data: Dataset,
  plan: Plan,
  start: Start,
  o: TrainJobOptions,
): Promise<Update> {
  const { training, heldOut, perStep, stepsBefore, steps, schedule, shape } = prepared
  const identity = checkpointIdentity(plan, start, data, o)
  const saved =
    o.resume && o.checkpoint ? await readCheckpoint(o.checkpoint, identity, session.parameterCount) : undefined
  loadStart(session, base, plan, start)
  if (prepared.proximal > 0) session.setAnchor(session.parameters())
  if (o.correction) session.setCorrection(o.correction)
  if (saved) restoreState(session, saved)
  else if (o.optimizerState) session.setOptimizerState(o.optimizerState)
  const held = async () =>
    heldOut.tokens > 0
      ? meanLoss(await sumLosses(session, heldOut.examples, { ...shape, signal: o.signal }))
      : undefined
  const lossBefore = saved ? saved.numbers.lossBefore : await held()
  const numbers: Record<string, number> = lossBefore === undefined ? {} : { lossBefore }
  let rates = saved?.numbers.rates ?? 0
  const evaluations = new Evaluations({
    every: stepsBetween(plan.train, prepared.stepsPerEpoch),
    patience: plan.train.patience,
    steps,
    ...(saved?.evaluations === undefined ? {} : { from: saved.evaluations }),
  })
  let stepsDone = saved?.stepsDone ?? 0
  const keeper = new Keeper(o.checkpoint, identity, o.checkpointSeconds ?? 30, () =>
    captureState(session, stepsDone, { ...numbers, rates }, evaluations.state),
  )
  const progress = progressOf(prepared, start, stepsDone, o)
  progress(0)
  const lossAfter = await keeper.guard(async () => {
    await runSteps({
      session,
      batchOf: exampleBatches(
        training.examples,
        perStep,
        stepsBefore,
        o.orderOf ?? ((epoch) => order(training.count, plan.train.seed, epoch)),
      ),
      steps,
      stepsDone,
      stepsBefore,
      schedule,
      optimizer: { ...optimizerOf(plan.train), proximal: prepared.proximal },
      seed: plan.train.seed,
      signal: o.signal,
      async onStep(record) {
        stepsDone = record.step
        rates += record.learningRate
        progress(record.rows, record.loss)
        await o.onStep?.(record)
        await keeper.keepIfDue()
      },
      endsAfter: (done) =>
        evaluations.after(done, session, held, async (record) => {
          progress(0, undefined, record.loss)
          await o.onEvaluation?.(record)
        }),
    })
    return evaluations.finish(session) ?? (await held())
  })
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
  o.onEnd?.({ rates, optimizer: session.optimizerState() })
  // Of all this only what the plan's agreement shares goes into the update.
  const update = makeUpdate(shareable(plan, info), trainedIn(session, base, plan, start))
  if (o.checkpoint && !o.keepCheckpoint) await dropCheckpoint(o.checkpoint)
  return update
}

/** Sets everything that a session carries from step to step: nothing of its last owner is left. */
export function loadStart(session: TrainingSession, base: Model, plan: Plan, start: Start): void {
  const { trainable } = plan.train
  if (trainable.kind === 'full') loadDense(session, base, trainable.tensors, start.dense)
  else if (trainable.kind === 'lora') session.setParameters(flatten(start.trained.layers))
  else session.setParameters(sharedParameters(plan, start.trained))
  session.resetOptimizer()
}

/** What the update holds, of the session's parameters. Where whole tensors train, the session holds the start afterwards. */
function trainedIn(session: TrainingSession, base: Model, plan: Plan, start: Start): Trained {
  const parameters = session.parameters()
  if (plan.train.trainable.kind === 'full') loadStart(session, base, plan, start)
  return trainedOf(session, base, plan, parameters)
}

/**
 * Factors as they are, whole tensors by what training changed.
 * @param session where whole tensors train, it holds the start, and `parameters` become the deltas
 */
export function trainedOf(session: TrainingSession, base: Model, plan: Plan, parameters: Float32Array): Trained {
  const { trainable } = plan.train
  if (trainable.kind === 'lora') return { kind: 'lora', adapter: unflatten(plan.layers, parameters) }
  if (trainable.kind !== 'full') return sharedTrained(plan, parameters)
  return { kind: 'full', adapter: makeAdapter([], changesOf(session, base, trainable.tensors, parameters)) }
}

/** Reports rows done of this round; a training that went on from a checkpoint counts what it found. */
function progressOf(
  { training, stepsPerEpoch, steps }: Prepared,
  { round }: Start,
  stepsDone: number,
  { client, onProgress }: TrainJobOptions,
): (rows: number, loss?: number, heldOutLoss?: number) => void {
  const rowsOfEpoch = training.examples.reduce((sum, example) => sum + example.ids.length, 0)
  const total = Math.round((rowsOfEpoch * steps) / stepsPerEpoch)
  let done = Math.floor((stepsDone / stepsPerEpoch) * rowsOfEpoch)
  const clock = new Clock(done)
  return (rows, loss, heldOutLoss) => {
    done += rows
    onProgress?.({
      phase: 'train',
      client,
      round,
      done: Math.min(done, total),
      total,
      secondsLeft: clock.secondsLeft(done, total),
      ...(loss === undefined ? {} : { loss }),
      ...(heldOutLoss === undefined ? {} : { heldOutLoss }),
    })
  }
}

/** All that a training begins with, what the client kept of its last round included. */
function checkpointIdentity(
  plan: Plan,
  start: Start,
  data: Dataset,
  { client, correction, optimizerState, checkpoint }: TrainJobOptions,
): CheckpointIdentity {
  if (checkpoint === undefined) return {}
  return {
    plan: planSha256(plan),
    client,
    round: String(start.round),
    start: start.sha256,
    data: dataDigest(data),
    ...(correction && { correction: sha256Of(bytesOf(correction)) }),
    ...(optimizerState && {
      'optimizer state': digestParts([
        ['first', bytesOf(optimizerState.first)],
        ['second', bytesOf(optimizerState.second)],
        ['steps', String(optimizerState.steps)],
      ]),
    }),
  }
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
