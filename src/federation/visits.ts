import type { Dataset } from '../data/dataset.js'
import type { Model } from '../model/open.js'
import type { RunFolder } from '../run/folder.js'
import { dropCheckpoint } from '../train/checkpoint.js'
import { checkAborted, type JobOptions } from '../train/job.js'
import { JointSessions, type JointVisit, jointShape } from '../train/joint.js'
import { type OpenOptions, SessionPool } from '../train/session.js'
import type { Start } from '../train/start.js'
import { decodeUpdate } from '../update/decode.js'
import type { Plan } from '../update/plan.js'
import { clientUpdate, type VisitOptions } from './client.js'
import { isAsynchronous } from './federated.js'
import type { Conditions } from './participation.js'
import type { Beside } from './rounds.js'
import type { Sent, Store } from './store.js'

/** What all arms of a simulation share. */
export interface ArmOptions {
  base: Model
  plan: Plan
  /** by client name, in plain order */
  datasets: ReadonlyMap<string, Dataset>
  store: Store
  folder: RunFolder | undefined
  conditions: Conditions
  threads: number
  concurrency: number
  /** most clients that step together; 1: each alone; undefined: as many as pays */
  clientBatching: number | undefined
  job: JobOptions
  /** a line of the run's metrics */
  event: (event: { event: string; [field: string]: unknown }) => Promise<void>
  checkpointSeconds: number | undefined
}

/** Clients' visits to the base: each trains once, and what a store already holds is taken from there. */
export class Visits implements Disposable {
  readonly #o: ArmOptions
  readonly #open: OpenOptions
  readonly #sessions: SessionPool

  constructor(o: ArmOptions) {
    this.#o = o
    this.#open = {
      sessions: o.concurrency,
      onMemory: (notice) => void o.event({ event: 'memory', ...notice }).catch(() => undefined),
    }
    this.#sessions = new SessionPool(o.base, o.concurrency, this.#open)
  }

  [Symbol.dispose](): void {
    this.#sessions.close()
  }

  /** How many of an arm's clients train side by side: in sessions of their own, or stepping together where that pays. */
  sideBySide(plan: Plan, leak?: boolean): Disposable & { concurrency: number; joint?: JointSessions } {
    const { base, datasets, threads, concurrency, clientBatching, job } = this.#o
    const isAlone = concurrency > 1 || clientBatching === 1 || leak === true || isAsynchronous(plan)
    const shape = isAlone
      ? undefined
      : jointShape(base, [...datasets.values()], plan, { threads, recompute: job.recompute, most: clientBatching })
    if (shape === undefined) return { concurrency, [Symbol.dispose]: () => undefined }
    const joint = new JointSessions(base, shape, this.#open)
    return { concurrency: shape.clients, joint, [Symbol.dispose]: () => joint[Symbol.dispose]() }
  }

  /** A client's update of a round: the one that is kept, else by training. */
  async update(
    arm: string,
    plan: Plan,
    client: string,
    start: Start,
    signal: AbortSignal,
    beside: Beside = {},
    joint?: JointSessions,
  ): Promise<Sent> {
    const kept = await this.#o.store.update(arm, start.round, client)
    if (kept) return kept
    const more = { ...beside, optimizer: await this.#optimizer(arm, plan, client, start.round) }
    const data = this.#o.datasets.get(client) as Dataset
    return this.train(arm, plan, client, data, start, signal, more, joint?.visit())
  }

  /** The optimizer's state that a client kept of its last visit; where the plan resets it, none. */
  async #optimizer(arm: string, plan: Plan, client: string, round: number): Promise<Uint8Array | undefined> {
    if (plan.train.optimizerState !== 'kept') return undefined
    for (let before = round - 1; before >= 1; before--) {
      const last = await this.#o.store.update(arm, before, client)
      if (last) return last.optimizer
    }
    return undefined
  }

  async train(
    arm: string,
    plan: Plan,
    client: string,
    data: Dataset,
    start: Start,
    signal: AbortSignal | undefined,
    more: Pick<VisitOptions, 'orderOf' | 'control' | 'correction' | 'optimizer'> = {},
    visit?: JointVisit,
  ): Promise<Sent> {
    checkAborted(signal)
    const { base, store, job, concurrency, threads } = this.#o
    const checkpoint = store.checkpoint(arm, start.round, client)
    const began = performance.now()
    const who = arm === 'pooled' ? {} : { client }
    const visited = await clientUpdate(base, data, plan, start, {
      client,
      signal,
      threads: Math.max(1, Math.floor(threads / concurrency)),
      recompute: job.recompute,
      sessions: visit ?? this.#sessions,
      checkpoint,
      keepCheckpoint: true,
      checkpointSeconds: this.#o.checkpointSeconds,
      resume: true,
      onProgress: ({ client: _, ...progress }) => job.onProgress?.({ ...progress, ...who, phase: `train ${arm}` }),
      onStep: ({ step, stepsBefore, loss, tokens, gradientNorm, learningRate }) =>
        this.#o.event({
          event: 'step',
          arm,
          ...who,
          round: start.round,
          step: stepsBefore + step,
          loss,
          tokens,
          gradientNorm,
          learningRate,
        }),
      onEvaluation: (record) => this.#o.event({ event: 'evaluation', arm, ...who, round: start.round, ...record }),
      ...more,
    })
    const seconds = (performance.now() - began) / 1000 - (visit?.waited ?? 0)
    const { bytes } = visited
    const { info } = decodeUpdate(bytes, 'The update')
    const sent = await store.keepUpdate(arm, start.round, client, visited, seconds)
    if (checkpoint) await dropCheckpoint(checkpoint)
    const { lossBefore, lossAfter } = info
    await this.#o.event({
      event: 'update',
      arm,
      ...who,
      round: start.round,
      bytes: bytes.byteLength,
      seconds,
      lossBefore,
      lossAfter,
    })
    return sent
  }
}
