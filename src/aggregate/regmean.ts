/**
 * The update whose outputs are closest to every client's own on its own inputs (RegMean, arXiv 2212.09849):
 * dW = (sum p_i dW_i G_i) (sum p_i G_i)^-1 with G_i = X_i' X_i. The base cancels, since all clients share it.
 */
import { OneroundError } from '../errors.js'
import { cholesky, solveRows } from './cholesky.js'
import { errorOf, factorize } from './factorize.js'
import { type LayerMethod, type LayerSum, overlayPairs, type Part } from './method.js'
import { rankLimits } from './ranks.js'
import { sideBySide } from './stack.js'
import { noStatistic, type StatisticReader } from './statistics.js'

/** Off-diagonal elements of G are shrunk by this, as the paper does against a singular sum. */
const regmeanShrinkage = 0.9

/** B_i A_i G_i (sum G)^-1 has client i's B, so the result has the rank of the stack and is then cut by the rank rule. */
export const regmeanLayer: LayerMethod = async (sum, options) => {
  const parts = sum.parts.filter((part) => part.weight !== 0)
  const grams: Float64Array[] = []
  for (const part of parts) grams.push(await inputsOf(sum, part, options.statistics))
  const total = new Float64Array(sum.in * sum.in)
  parts.forEach((part, c) => {
    const g = grams[c] ?? new Float64Array()
    for (let i = 0; i < total.length; i++) total[i] = (total[i] ?? 0) + part.weight * (g[i] ?? 0)
  })
  const root = cholesky(total, sum.in)
  if (root === undefined)
    throw new OneroundError('NUMERIC', `The inputs of layer '${sum.name}' do not span it.`, {
      found: "a singular sum of X'X",
      fix: 'Measure the statistic on more examples, or choose another method.',
    })
  const pairs = parts.map((part, c) => {
    const rows = rowsTimes(part.a, part.rank, grams[c] ?? new Float64Array(), sum.in)
    solveRows(root, sum.in, rows)
    return { rank: part.rank, a: Float32Array.from(rows), b: part.b, weight: part.weight * part.scale }
  })
  const { most, tolerance } = rankLimits(sum, options.rank)
  const kept = await factorize(sum, [...pairs, ...overlayPairs(sum)], most, tolerance)
  const result = kept.rank === 0 ? [] : [{ rank: kept.rank, a: kept.a, b: kept.b, weight: 1 }]
  return { layer: sideBySide(sum, result), ...(await errorOf(sum, result)) }
}

/** A G, [rank, in] */
function rowsTimes(a: Float32Array, rank: number, g: Float64Array, size: number): Float64Array {
  const rows = new Float64Array(rank * size)
  for (let k = 0; k < rank; k++) {
    for (let i = 0; i < size; i++) {
      const value = a[k * size + i] ?? 0
      for (let j = 0; j < size; j++) rows[k * size + j] = (rows[k * size + j] ?? 0) + value * (g[i * size + j] ?? 0)
    }
  }
  return rows
}

async function inputsOf(sum: LayerSum, part: Part, statistics: StatisticReader | undefined): Promise<Float64Array> {
  const values = (await statistics?.(part.client, sum.name))?.inputs
  if (values === undefined || values.length !== sum.in ** 2 || !values.every(Number.isFinite)) {
    const found = values === undefined ? 'none' : `${values.length} numbers`
    throw noStatistic('regmean', part.client, sum.name, found, `X'X, ${sum.in} x ${sum.in} finite numbers`)
  }
  return Float64Array.from(values, (value, i) =>
    Math.floor(i / sum.in) === i % sum.in ? value : value * regmeanShrinkage,
  )
}
