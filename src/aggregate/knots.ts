/**
 * KnOTS (arXiv 2410.19735): the updates side by side, [dW_1 .. dW_m] = U S [V_1' .. V_m'], share one basis U S; TIES
 * merges the V_i in it, and U S times what comes out is the merged update.
 */
import type { FactorPair } from '../native/binding/factors.js'
import { native } from '../native/load.js'
import { fraction, neutral } from './coordinates.js'
import { errorOf, factorize } from './factorize.js'
import { type LayerMethod, type LayerSum, overlayPairs, type Part } from './method.js'
import { rankLimits } from './ranks.js'
import { sideBySide } from './stack.js'

/** Needs factors of [out, m in]: 2 m in R^2 multiplications a layer. */
export const knotsLayer: LayerMethod = async (sum, options) => {
  const density = options.density ?? 0.2
  if (density !== 1) fraction('density', density, 'above zero', 1)
  const parts = sum.parts.filter((part) => part.weight !== 0)
  const wide: LayerSum = { ...sum, in: sum.in * parts.length }
  const joint = await factorize(wide, beside(sum, parts), Math.min(wide.in, wide.out), 0)
  const { rank } = joint
  if (rank === 0) return { layer: sideBySide(sum, overlayPairs(sum)), ...(await errorOf(sum, overlayPairs(sum))) }

  // a is sqrt(S) V' and b is U sqrt(S): the TIES sees V' alone, the basis takes all of S.
  const roots = Array.from({ length: rank }, (_, k) => Math.sqrt(joint.singularValues[k] ?? 0))
  const identity = Float32Array.from({ length: rank * rank }, (_, k) => (Math.floor(k / rank) === k % rank ? 1 : 0))
  const aligned = parts.map(({ weight }, i) => {
    const a = new Float32Array(rank * sum.in)
    for (let k = 0; k < rank; k++) {
      const root = roots[k] ?? 1
      for (let j = 0; j < sum.in; j++) a[k * sum.in + j] = (joint.a[k * wide.in + i * sum.in + j] ?? 0) / root
    }
    return { rank, a, b: identity, weight: 1, share: weight, stream: 0 }
  })
  const merged = await native().coordinateWise(sum.in, rank, aligned, { ...neutral, rule: 'ties', density })
  const lambda = options.lambda ?? 1
  const b = joint.b.map((value, k) => value * (roots[k % rank] ?? 0))
  const pair: FactorPair = { rank, a: merged, b, weight: lambda }
  const { most, tolerance } = rankLimits(sum, options.rank)
  const kept = await factorize(sum, [pair, ...overlayPairs(sum)], most, tolerance)
  const result = { rank: kept.rank, a: kept.a, b: kept.b, weight: 1 }
  return {
    layer: sideBySide(sum, kept.rank === 0 ? [] : [result]),
    ...(await errorOf(sum, kept.rank === 0 ? [] : [result])),
  }
}

/** Client i's update in columns [i in, (i + 1) in), scales folded in. */
function beside(sum: LayerSum, parts: readonly Part[]): FactorPair[] {
  return parts.map(({ rank, scale, a, b }, i) => {
    const wide = new Float32Array(rank * sum.in * parts.length)
    for (let k = 0; k < rank; k++)
      wide.set(a.subarray(k * sum.in, (k + 1) * sum.in), k * sum.in * parts.length + i * sum.in)
    return { rank, a: wide, b, weight: scale }
  })
}
