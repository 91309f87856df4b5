/** Full updates -> one adapter of dense deltas: start + sum_i p_i (w_i - start), the weighted mean of the weights. */
import { createHash } from 'node:crypto'
import { makeAdapter } from '../adapter/adapter.js'
import type { DenseDelta } from '../adapter/dense.js'
import { OneroundError } from '../errors.js'
import { canonicalJson } from '../update/canonical.js'
import { checkUpdate } from '../update/checks.js'
import type { Plan } from '../update/plan.js'
import { isBytesOrFile, openUpdate, type Update, type UpdateInfo, updateSha256 } from '../update/update.js'
import type { Aggregate, Aggregator, AggregatorOptions, FinishOptions } from './aggregator.js'
import { noSuchClient, nothingToSum } from './refusals.js'
import { resolveWeights } from './weights.js'

type Source = Update | Uint8Array | string

/**
 * An aggregator of full updates. Files are read once to be checked and once to be summed, one at a time: what is held is
 * one update and the sums. Updates that come as objects or bytes stay where their owner has them.
 */
export function openDenseAggregator(plan: Plan, o: AggregatorOptions, state?: string): Aggregator {
  if (state !== undefined || o.keep === 'sums') throw noState()
  const taken = new Map<string, { info: UpdateInfo; source: Source }>()
  return {
    get clients() {
      return [...taken.keys()].sort()
    },
    keep: 'updates',
    async merge() {
      throw noState()
    },
    async save() {
      throw noState()
    },
    async digest() {
      const hash = createHash('sha256')
      for (const name of [...taken.keys()].sort()) {
        const update = await read(taken.get(name)?.source as Source, plan)
        hash.update(canonicalJson([name, updateSha256(update)]))
      }
      return hash.digest('hex')
    },
    async add(source) {
      const update = await read(source, plan)
      const [first] = taken.values()
      const { info } = update
      checkUpdate(plan, update, {
        round: o.round ?? first?.info.round ?? info.round,
        startSha256: o.startSha256 ?? first?.info.startSha256 ?? info.startSha256,
        start: o.startSha256 === undefined ? undefined : o.start,
        taken,
      })
      taken.set(info.client, { info, source })
      return info
    },
    async remove(client) {
      if (!taken.delete(client)) throw noSuchClient(client, taken.keys())
    },
    async exact() {
      return (await this.finish()).adapter
    },
    async finish(options = {}) {
      checkOptions(options)
      const names = [...taken.keys()].sort()
      if (names.length === 0) throw nothingToSum()
      const infos = names.map((name) => taken.get(name)?.info as UpdateInfo)
      const weights = resolveWeights(options.weights ?? plan.aggregate.weights, infos)
      const sums = new DenseSums(plan, o.dense ?? [])
      for (const { client } of infos) {
        if (o.signal?.aborted)
          throw new OneroundError('ABORTED', 'The aggregation was stopped.', { fix: 'Start it again.' })
        const weight = weights[client] ?? 0
        // A client of weight 0 takes no part; its file need not be read again.
        if (weight !== 0) sums.add(await read(taken.get(client)?.source as Source, plan), weight)
      }
      return aggregateOf(plan, weights, sums.result())
    },
  }
}

/** Sums of whole tensors in double. Clients must come in one order; the result is rounded to f32 once. */
class DenseSums {
  readonly #tensors: { name: string; shape: number[]; total: Float64Array }[]

  constructor({ train }: Plan, start: readonly DenseDelta[]) {
    const tensors = train.trainable.kind === 'full' ? train.trainable.tensors : []
    const known = new Map(start.map(({ name, values }) => [name, values]))
    this.#tensors = tensors.map(({ name, shape }) => {
      const from = known.get(name)
      const count = shape.reduce((product, size) => product * size, 1)
      return { name, shape: [...shape], total: from === undefined ? new Float64Array(count) : Float64Array.from(from) }
    })
  }

  /** total += weight * delta, one tensor after another */
  add({ adapter }: Update, weight: number): void {
    const deltas = new Map(adapter.dense.map(({ name, values }) => [name, values]))
    for (const { name, total } of this.#tensors) {
      const values = deltas.get(name) as Float32Array
      for (let i = 0; i < total.length; i++) total[i] = (total[i] ?? 0) + weight * (values[i] ?? 0)
    }
  }

  /** Gives the sums up tensor by tensor, so that the doubles and the floats are never all there at once. */
  result(): DenseDelta[] {
    const dense: DenseDelta[] = []
    for (let tensor = this.#tensors.shift(); tensor !== undefined; tensor = this.#tensors.shift())
      dense.push({ name: tensor.name, shape: tensor.shape, values: Float32Array.from(tensor.total) })
    return dense
  }
}

function aggregateOf(plan: Plan, weights: Record<string, number>, dense: DenseDelta[]): Aggregate {
  const adapter = makeAdapter([], dense, { base: plan.base.id, method: 'fedavg' })
  return { adapter, method: 'fedavg', weights, relativeError: 0, layers: [] }
}

function read(source: Source, plan: Plan): Promise<Update> | Update {
  return isBytesOrFile(source) ? openUpdate(source, plan) : source
}

function noState(): OneroundError {
  return new OneroundError('UNSUPPORTED', 'States of full updates are not built yet.', {
    found: 'a state of whole tensors',
    expected: 'all update files of the round in one call',
    fix: 'Leave the state out.',
  })
}

function checkOptions({ method, rank }: FinishOptions): void {
  if ((method ?? 'fedavg') === 'fedavg' && (rank ?? 'auto') === 'auto') return
  throw new OneroundError('ARGUMENT', 'Full updates are averaged; they have no factors to choose a method for.', {
    found: `method '${method ?? 'fedavg'}', rank ${rank ?? 'auto'}`,
    expected: "method 'fedavg', rank 'auto'",
    fix: 'Leave method and rank out.',
  })
}
