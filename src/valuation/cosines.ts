/** How alike updates are, from inner products of factors: <B1 A1, B2 A2> = sum((B1'B2) * (A1A2')), no dense matrix. */
import { setImmediate as turnOfLoop } from 'node:timers/promises'
import type { FactorPair } from '../native/binding/factors.js'
import { native } from '../native/load.js'
import { checkAborted } from '../train/job.js'
import type { Start } from '../train/start.js'
import type { Update } from '../update/update.js'

/** [m, m] row-major: cosines of what the clients changed, over all layers together; of no change at all: 0. */
export async function cosines(start: Start, updates: readonly Update[], signal?: AbortSignal): Promise<Float64Array> {
  const m = updates.length
  const gram = new Float64Array(m * m)
  const layers = updates[0]?.adapter.layers ?? []
  for (let at = 0; at < layers.length; at++) {
    checkAborted(signal)
    await turnOfLoop()
    addLayer(gram, start, updates, at)
  }
  const tensors = updates[0]?.adapter.dense ?? []
  for (let at = 0; at < tensors.length; at++) {
    checkAborted(signal)
    await turnOfLoop()
    addTensor(gram, updates, at)
  }
  return gram.map((value, k) => {
    const norms = Math.sqrt((gram[Math.floor(k / m) * (m + 1)] ?? 0) * (gram[(k % m) * (m + 1)] ?? 0))
    return norms > 0 ? Math.max(-1, Math.min(1, value / norms)) : 0
  })
}

/** <x, y> = (|x + y|^2 - |x|^2 - |y|^2) / 2; the addon gives squared norms of sums of products, in double. */
function addLayer(gram: Float64Array, start: Start, updates: readonly Update[], at: number): void {
  const m = updates.length
  const from = start.trained.layers[at]
  const own = from?.b.some((value) => value !== 0) ? [pair(from, -1)] : []
  const changes = updates.map(({ adapter }) => {
    const layer = adapter.layers[at]
    return layer === undefined ? [] : [pair(layer, 1), ...own]
  })
  const { in: inDim = 0, out = 0 } = updates[0]?.adapter.layers[at] ?? {}
  const square = (pairs: FactorPair[]) => native().sumSquaredNorm(inDim, out, pairs)
  const squares = changes.map(square)
  for (let i = 0; i < m; i++) {
    for (let j = 0; j <= i; j++) {
      const both = i === j ? 0 : square([...(changes[i] ?? []), ...(changes[j] ?? [])])
      const product = i === j ? (squares[i] ?? 0) : (both - (squares[i] ?? 0) - (squares[j] ?? 0)) / 2
      addSymmetric(gram, m, i, j, product)
    }
  }
}

function addTensor(gram: Float64Array, updates: readonly Update[], at: number): void {
  const deltas = updates.map(({ adapter }) => adapter.dense[at]?.values ?? new Float32Array())
  for (const [i, left] of deltas.entries()) {
    for (const [j, right] of deltas.slice(0, i + 1).entries()) {
      let product = 0
      for (let k = 0; k < left.length; k++) product += (left[k] ?? 0) * (right[k] ?? 0)
      addSymmetric(gram, updates.length, i, j, product)
    }
  }
}

function addSymmetric(gram: Float64Array, m: number, i: number, j: number, value: number): void {
  gram[i * m + j] = (gram[i * m + j] ?? 0) + value
  if (i !== j) gram[j * m + i] = (gram[j * m + i] ?? 0) + value
}

function pair(layer: { rank: number; scale: number; a: Float32Array; b: Float32Array }, sign: number): FactorPair {
  return { rank: layer.rank, a: layer.a, b: layer.b, weight: sign * layer.scale }
}
