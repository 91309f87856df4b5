import type { Adapter } from '../adapter/adapter.js'
import { loadAdapter } from '../adapter/folder.js'
import type { Dataset } from '../data/dataset.js'
import type { Model } from '../model/open.js'
import type { RunFolder } from '../run/folder.js'
import { dropCheckpoint } from '../train/checkpoint.js'
import { checkAborted, type JobOptions } from '../train/job.js'
import { JointSessions, type JointVisit, jointShape } from '../train/joint.js'
import { type OpenOptions, SessionPool } from '../train/session.js'
import { initialStart, type Start } from '../train/start.js'
import { decodeUpdate } from '../update/decode.js'
import { type Plan, planText } from '../update/plan.js'
import { openUpdate } from '../update/update.js'
import { type Arm, type ArmName, type ArmShape, horizonOf, LEAK, planOfArm, shapeOf } from './arms.js'
import { clientUpdate, type VisitOptions } from './client.js'
import { isAsynchronous, runFederated } from './federated.js'
import { judge } from './judge.js'
import { eachLimited } from './limited.js'
import type { Conditions } from './participation.js'
import { pool } from './pooled.js'
import type { Beside } from './rounds.js'
import { travelBytes } from './server.js'
import { isFinished, keepAdapter, type Sent, type Store } from './store.js'

interface ArmRunnerOptions {
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
  checkpointSeconds: number | undefined
}

/** Works through arms one after another; whatever the store already holds is taken from there. */
export class ArmRunner implements Disposable {
  readonly #o: ArmRunnerOptions
  readonly #sessions: SessionPool
  readonly #open: OpenOptions
  readonly #heldOut: Map<string, Dataset>
  readonly #adapters = new Map<ArmName, Adapter>()

  constructor(o: ArmRunnerOptions) {
    this.#o = o
    this.#open = {
      sessions: o.concurrency,
      onMemory: (notice) => void o.folder?.metrics.append({ event: 'memory', ...notice }).catch(() => undefined),
    }
    this.#sessions = new SessionPool(o.base, o.concurrency, this.#open)
    this.#heldOut = new Map([...o.datasets].map(([name, data]) => [name, data.heldOut(o.plan.data.heldOut).heldOut]))
  }

  /** The rows of one arm; `client` has one for each client. `isResult`: its adapter is kept in the run folder. */
  async arm(name: ArmName, isResult: boolean): Promise<Arm[]> {
    const kept = this.#o.store.result(`arm/${name}`) as Arm[] | undefined
    if (kept !== undefined && (!isResult || (await this.#keptAdapter())) && (await this.#hasItems(kept))) return kept
    checkAborted(this.#o.job.signal)
    const arms = await this.#run(name, isResult)
    await this.#o.store.keepResult(`arm/${name}`, arms)
    for (const arm of arms) await this.#event({ event: 'arm', ...arm })
    return arms
  }

  /** The adapter of an arm that has run. */
  async adapter(name: ArmName): Promise<Adapter> {
    return this.#adapters.get(name) ?? ((await this.#keptAdapter()) as Adapter)
  }

  [Symbol.dispose](): void {
    this.#sessions.close()
  }

  #run(name: ArmName, isResult: boolean): Promise<Arm[]> {
    if (name === 'base') return this.#baseArm()
    if (name === 'client') return this.#clientArms()
    if (name === 'pooled') return this.#pooledArm()
    return this.#federatedArm(name, isResult)
  }

  async #baseArm(): Promise<Arm[]> {
    return [{ name: 'base', ...(await this.#judge('base', undefined)), bytesUp: 0, bytesDown: 0, seconds: 0 }]
  }

  /** Each client alone, over the whole horizon: these are the updates of one round at that horizon, so they train once. */
  async #clientArms(): Promise<Arm[]> {
    const { plan } = this.#o
    // A strategy that changes local training has no part in training alone.
    const isLocal = plan.strategy?.name === 'fedprox' || plan.strategy?.name === 'scaffold'
    const shape: ArmShape = { rounds: 1, epochs: horizonOf(plan), ...(isLocal ? { strategy: 'fedavg' } : {}) }
    const armPlan = planOfArm(plan, shape)
    const kept = `1x${shape.epochs}${isLocal ? ':fedavg' : ''}`
    const start = initialStart(armPlan)
    const sent = new Map<string, Sent>()
    using side = this.#sideBySide(armPlan)
    await eachLimited(this.#names(), side.concurrency, this.#o.job.signal, async (client, signal) => {
      sent.set(client, await this.#update(kept, armPlan, client, start, signal, {}, side.joint))
    })
    const arms: Arm[] = []
    for (const [client, { source, seconds }] of [...sent].sort(([a], [b]) => (a < b ? -1 : 1))) {
      const { adapter } = await openUpdate(source, armPlan)
      arms.push({
        name: 'client',
        client,
        ...(await this.#judge('client', adapter, `client/${client}`)),
        bytesUp: 0,
        bytesDown: 0,
        seconds,
      })
    }
    return arms
  }

  async #pooledArm(): Promise<Arm[]> {
    const { plan, store } = this.#o
    const pooled = pool(this.#o.datasets, plan)
    const start = initialStart(pooled.plan)
    const kept = await store.update('pooled', 1, 'pooled')
    const sent =
      kept ??
      (await this.#train('pooled', pooled.plan, 'pooled', pooled.data, start, this.#o.job.signal, {
        orderOf: pooled.orderOf,
      }))
    const { adapter } = await openUpdate(sent.source, pooled.plan)
    const bytesDown = (Buffer.byteLength(planText(plan)) + travelBytes(adapter)) * this.#names().length
    return [
      {
        name: 'pooled',
        ...(await this.#judge('pooled', adapter)),
        bytesUp: pooled.characters,
        bytesDown,
        seconds: sent.seconds,
      },
    ]
  }

  async #federatedArm(name: ArmName, isResult: boolean): Promise<Arm[]> {
    const { plan, store, folder } = this.#o
    const clients = this.#names()
    const shape = shapeOf(name) as ArmShape
    const armPlan = planOfArm(plan, shape)
    using side = this.#sideBySide(armPlan, shape.leak)
    const { aggregate, bytesUp, bytesOfStarts, seconds, clock } = await runFederated(name, {
      plan: armPlan,
      clients,
      conditions: this.#o.conditions,
      concurrency: side.concurrency,
      threads: this.#o.threads,
      signal: this.#o.job.signal,
      leak: shape.leak,
      store,
      updateOf: (client, start, signal, beside) =>
        this.#update(name, armPlan, client, start, signal, beside, side.joint),
      event: (event) => this.#event(event),
      judge: async (adapter) => (await this.#judge(name, adapter)).overall.loss,
    })
    this.#adapters.set(name, aggregate.adapter)
    if (isResult && folder) await keepAdapter(folder, folder.adapterFolder, aggregate.adapter)
    const bytesDown =
      (Buffer.byteLength(planText(armPlan)) + travelBytes(aggregate.adapter)) * clients.length + bytesOfStarts
    const told: Partial<Arm> = { strategy: armPlan.strategy?.name ?? 'fedavg', start: armPlan.start }
    if (shape.leak) told.ablation = LEAK
    if (this.#o.conditions.durationSpread > 0) told.clock = clock
    return [{ name, ...told, ...(await this.#judge(name, aggregate.adapter)), bytesUp, bytesDown, seconds }]
  }

  /** How many of an arm's clients train side by side: in sessions of their own, or stepping together where that pays. */
  #sideBySide(plan: Plan, leak?: boolean): Disposable & { concurrency: number; joint?: JointSessions } {
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
  async #update(
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
    return this.#train(arm, plan, client, data, start, signal, more, joint?.visit())
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

  async #train(
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
        this.#event({
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
      onEvaluation: (record) => this.#event({ event: 'evaluation', arm, ...who, round: start.round, ...record }),
      ...more,
    })
    const seconds = (performance.now() - began) / 1000 - (visit?.waited ?? 0)
    const { bytes } = visited
    const { info } = decodeUpdate(bytes, 'The update')
    const sent = await store.keepUpdate(arm, start.round, client, visited, seconds)
    if (checkpoint) await dropCheckpoint(checkpoint)
    const { lossBefore, lossAfter } = info
    await this.#event({
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

  /** Scores an arm; the losses they are made of are kept by themselves. */
  async #judge(name: ArmName, adapter: Adapter | undefined, place: string = name) {
    const { base, job, threads, store } = this.#o
    const { items, ...scores } = await judge(base, adapter, this.#heldOut, {
      signal: job.signal,
      threads,
      onProgress: (progress) => job.onProgress?.({ ...progress, phase: `evaluate ${name}` }),
    })
    await store.keepItems(place, items)
    return scores
  }

  /** Runs of earlier versions kept scores only: their arms are judged once more. */
  async #hasItems(arms: readonly Arm[]): Promise<boolean> {
    for (const { name, client } of arms) {
      const place = client === undefined ? name : `${name}/${client}`
      if ((await this.#o.store.items(place)) === undefined) return false
    }
    return true
  }

  async #event(event: { event: string; [field: string]: unknown }): Promise<void> {
    await this.#o.folder?.metrics.append(event)
  }

  async #keptAdapter(): Promise<Adapter | undefined> {
    const { folder } = this.#o
    return folder && (await isFinished(folder, folder.adapterFolder)) ? loadAdapter(folder.adapterFolder) : undefined
  }

  #names(): string[] {
    return [...this.#o.datasets.keys()]
  }
}
