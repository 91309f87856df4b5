import type { Adapter } from '../adapter/adapter.js'
import { loadAdapter } from '../adapter/folder.js'
import type { Dataset } from '../data/dataset.js'
import { checkAborted } from '../train/job.js'
import { initialStart } from '../train/start.js'
import { planText } from '../update/plan.js'
import { openUpdate } from '../update/update.js'
import { type Arm, type ArmName, type ArmShape, horizonOf, LEAK, planOfArm, shapeOf } from './arms.js'
import { runFederated } from './federated.js'
import { judge } from './judge.js'
import { eachLimited } from './limited.js'
import { pool } from './pooled.js'
import { travelBytes } from './server.js'
import { isFinished, keepAdapter, type Sent } from './store.js'
import { type ArmOptions, Visits } from './visits.js'

/** Works through arms one after another; whatever the store already holds is taken from there. */
export class ArmRunner implements Disposable {
  readonly #o: ArmOptions
  readonly #visits: Visits
  readonly #heldOut: Map<string, Dataset>
  readonly #adapters = new Map<ArmName, Adapter>()

  constructor(o: ArmOptions) {
    this.#o = o
    this.#visits = new Visits(o)
    this.#heldOut = new Map([...o.datasets].map(([name, data]) => [name, data.heldOut(o.plan.data.heldOut).heldOut]))
  }

  /** The rows of one arm; `client` has one for each client. `isResult`: its adapter is kept in the run folder. */
  async arm(name: ArmName, isResult: boolean): Promise<Arm[]> {
    const kept = this.#o.store.result(`arm/${name}`) as Arm[] | undefined
    if (kept !== undefined && (!isResult || (await this.#keptAdapter())) && (await this.#hasItems(kept))) return kept
    checkAborted(this.#o.job.signal)
    const arms = await this.#run(name, isResult)
    await this.#o.store.keepResult(`arm/${name}`, arms)
    for (const arm of arms) await this.#o.event({ event: 'arm', ...arm })
    return arms
  }

  /** The adapter of an arm that has run. */
  async adapter(name: ArmName): Promise<Adapter> {
    return this.#adapters.get(name) ?? ((await this.#keptAdapter()) as Adapter)
  }

  [Symbol.dispose](): void {
    this.#visits[Symbol.dispose]()
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
    using side = this.#visits.sideBySide(armPlan)
    await eachLimited(this.#names(), side.concurrency, this.#o.job.signal, async (client, signal) => {
      sent.set(client, await this.#visits.update(kept, armPlan, client, start, signal, {}, side.joint))
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
      (await this.#visits.train('pooled', pooled.plan, 'pooled', pooled.data, start, this.#o.job.signal, {
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
    using side = this.#visits.sideBySide(armPlan, shape.leak)
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
        this.#visits.update(name, armPlan, client, start, signal, beside, side.joint),
      event: this.#o.event,
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

  async #keptAdapter(): Promise<Adapter | undefined> {
    const { folder } = this.#o
    return folder && (await isFinished(folder, folder.adapterFolder)) ? loadAdapter(folder.adapterFolder) : undefined
  }

  #names(): string[] {
    return [...this.#o.datasets.keys()]
  }
}
