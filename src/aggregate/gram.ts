/** All inner products of updates, <dW_i, dW_j> = sum over layers of s_i s_j sum((B_i' B_j) * (A_i A_j')). */
import { OneroundError } from '../errors.js'
import { native } from '../native/load.js'
import type { Update } from '../update/update.js'
import { eachLimited, type LayerJobs } from './layers.js'
import { byClient } from './sums.js'

export interface Gram {
  /** in the order of their names */
  clients: string[]
  /** [clients, clients], row-major, symmetric */
  values: Float64Array
}

/**
 * The Gram matrix of updates, from inner products of factors; no update is ever made dense. In double, layers in the
 * order of their names: the same bits on every machine. Costs (in + out) R^2 / 2 multiplications a layer, R the sum
 * of all ranks. Updates must hold the same layers; dense deltas are refused.
 */
export async function gram(updates: readonly Update[], jobs: LayerJobs = {}): Promise<Gram> {
  const sorted = byClient(updates)
  const names = (sorted[0]?.adapter.layers ?? []).map((layer) => layer.name).sort()
  const tables = sorted.map((update) => {
    if (update.adapter.dense.length > 0 || update.adapter.layers.length !== names.length) throw unlike(update)
    return new Map(update.adapter.layers.map((layer) => [layer.name, layer]))
  })
  return layerGrams(
    sorted.map((update) => update.info.client),
    names.map((name) => async () => {
      const layers = tables.map((table, i) => table.get(name) ?? fail(sorted[i]))
      const [first] = layers
      if (first === undefined) return new Float64Array()
      if (layers.some((layer) => layer.in !== first.in || layer.out !== first.out)) fail(sorted[0])
      const pairs = layers.map(({ rank, scale, a, b }) => ({ rank, a, b, weight: scale }))
      return native().productGram(first.in, first.out, pairs)
    }),
    jobs,
  )
}

/** Sums Gram matrices of layers, several at a time, in the order given. */
export async function layerGrams(
  clients: string[],
  layers: readonly (() => Promise<Float64Array>)[],
  jobs: LayerJobs,
): Promise<Gram> {
  const values = new Float64Array(clients.length ** 2)
  const done: (Float64Array | undefined)[] = []
  let added = 0
  await eachLimited(layers.length, jobs, async (index) => {
    done[index] = await layers[index]?.()
    // Added as soon as all before it are there: only what runs ahead waits in memory.
    for (let part = done[added]; part !== undefined; part = done[added]) {
      for (let i = 0; i < values.length; i++) values[i] = (values[i] ?? 0) + (part[i] ?? 0)
      delete done[added]
      added++
    }
  })
  return { clients, values }
}

/** ||dW_i - dW_j||^2, [m, m]; differences below about 1e-8 of the norms are rounding. */
export function squaredDistances({ clients, values }: Gram): Float64Array {
  const m = clients.length
  const at = (i: number, j: number) => values[i * m + j] ?? 0
  return Float64Array.from({ length: m * m }, (_, k) => {
    const i = Math.floor(k / m)
    const j = k % m
    return i === j ? 0 : Math.max(0, at(i, i) + at(j, j) - 2 * at(i, j))
  })
}

function fail(update: Update | undefined): never {
  throw unlike(update)
}

function unlike(update: Update | undefined): OneroundError {
  return new OneroundError('MISMATCH', 'Inner products need updates of the same layers, as factors.', {
    found: `client '${update?.info.client}' with other layers`,
    expected: 'the same layers and sizes in every update',
    fix: 'Give updates of one plan.',
  })
}
