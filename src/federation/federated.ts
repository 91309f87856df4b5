/** One RxE arm: rounds, or an asynchronous federation, over a store that remembers what is finished. */
import type { Adapter } from '../adapter/adapter.js'
import type { Plan } from '../update/plan.js'
import { type AsynchronousOptions, runAsynchronous } from './asynchronous.js'
import { type RoundsOptions, type RoundsResult, runRounds } from './rounds.js'
import type { Store } from './store.js'

interface FederatedOptions
  extends Pick<
    RoundsOptions,
    'plan' | 'clients' | 'conditions' | 'concurrency' | 'signal' | 'updateOf' | 'threads' | 'leak'
  > {
  store: Store
  event(event: { event: string; [field: string]: unknown }): Promise<void>
  /** asynchronous arms: how good what is served is at this moment */
  judge(adapter: Adapter): Promise<number>
}

/** Whether the plan's strategy takes updates as they come. */
export function isAsynchronous({ strategy }: Plan): boolean {
  return strategy?.name === 'fedbuff' || strategy?.name === 'running-mean'
}

/** @param name the arm's, under which the store keeps what is finished */
export function runFederated(name: string, o: FederatedOptions): Promise<RoundsResult> {
  return isAsynchronous(o.plan) ? runAsynchronous(asynchronous(name, o)) : runRounds(rounds(name, o))
}

function rounds(name: string, o: FederatedOptions): RoundsOptions {
  const { store, plan } = o
  return {
    ...o,
    exactOf: (round) => store.exact(name, round),
    stateOf: (round) => store.serverState(name, round),
    async keepExact(round, exact, state) {
      await store.keepServerState(name, round, state)
      await store.keepExact(name, round, exact)
    },
    attemptsOf: (round) => (store.result(`attempts/${name}/${round}`) as number | undefined) ?? 0,
    keepAttempts: (round, attempts) => store.keepResult(`attempts/${name}/${round}`, attempts),
    async onTurnout(round, { asked, arriving, dropped, late, seconds }) {
      if (arriving.length === o.clients.length) return
      await o.event({ event: 'turnout', arm: name, round, asked, arriving, dropped, late, clock: seconds })
    },
    onRound: (round, closed, spent) =>
      o.event({
        event: 'aggregate',
        arm: name,
        round,
        seconds: spent,
        strategy: plan.strategy?.name ?? 'fedavg',
        ranks: (closed.last ? closed.served.adapter : closed.exact).layers.map((layer) => layer.rank),
        relativeError: closed.last ? closed.served.relativeError : 0,
        ...(closed.last ? { method: closed.served.method, weights: closed.served.weights } : {}),
      }),
  }
}

function asynchronous(name: string, o: FederatedOptions): AsynchronousOptions {
  return {
    ...o,
    async onArrival(record, served) {
      const loss = served && { loss: await o.judge(served) }
      await o.event({ event: 'arrival', arm: name, ...record, ...loss })
    },
  }
}
