/** Each number of A and B weighed by how much the client's loss depends on it (arXiv 2111.09832). */
import { alike, pairOfMean } from './factor-mean.js'
import { errorOf } from './factorize.js'
import { type LayerMethod, type LayerSum, overlayPairs, type Part } from './method.js'
import { sideBySide } from './stack.js'
import { noStatistic, type StatisticReader } from './statistics.js'

/** Where no client's loss depends on a number, the plain weighted mean. */
const floor = 1e-12

/** a = sum p_i F_i a_i / sum p_i F_i, number by number, and b alike; A and B apart, so not the sum (as fedit). */
export const fisherLayer: LayerMethod = async (sum, options) => {
  const parts = sum.parts.filter((part) => part.weight !== 0)
  const { rank, scale } = alike(sum, parts, 'fisher')
  const measured: Fisher[] = []
  for (const part of parts) measured.push(await statisticOf(sum, part, options.statistics))
  const weighted = (factor: 'a' | 'b') => {
    const fisher = measured.map((own) => own[factor])
    return Float32Array.from(parts[0]?.[factor] ?? [], (_, i) => {
      let [total, weight] = [0, 0]
      parts.forEach((part, c) => {
        const own = part.weight * ((fisher[c]?.[i] ?? 0) + floor)
        total += own * (part[factor][i] ?? 0)
        weight += own
      })
      return total / weight
    })
  }
  const mean = { rank, scale, a: weighted('a'), b: weighted('b') }
  const result = [pairOfMean(mean), ...overlayPairs(sum)]
  const { name, in: inDim, out } = sum
  const layer = sum.overlay.length === 0 ? { name, in: inDim, out, ...mean } : sideBySide(sum, result)
  return { layer, ...(await errorOf(sum, result)) }
}

/** Of one client and layer, as its factors. */
interface Fisher {
  a: Float32Array
  b: Float32Array
}

async function statisticOf(sum: LayerSum, part: Part, statistics: StatisticReader | undefined): Promise<Fisher> {
  const own = await statistics?.(part.client, sum.name)
  const checked = (factor: 'a' | 'b', values: Float32Array | undefined) => {
    if (values?.length === part[factor].length && values.every((value) => Number.isFinite(value) && value >= 0))
      return values
    const found = values === undefined ? 'none' : `${values.length} numbers`
    const expected = `${part[factor].length} finite numbers of at least 0 for lora_${factor.toUpperCase()}`
    throw noStatistic('fisher', part.client, sum.name, found, expected)
  }
  return { a: checked('a', own?.fisherA), b: checked('b', own?.fisherB) }
}
