/** The addon's factorisations with errors that name the layer. */
import { OneroundError } from '../errors.js'
import type { FactorizedDense, FactorizedSum, FactorPair } from '../native/binding/factors.js'
import { native } from '../native/load.js'
import { isDense, type LayerSum, overlayPairs, pairsOf } from './method.js'

const nothing = new Float32Array()

export async function factorize(
  sum: LayerSum,
  pairs: FactorPair[],
  maxRank: number,
  tolerance: number,
): Promise<FactorizedSum> {
  return named(sum, () => native().factorizeSum(sum.in, sum.out, pairs, maxRank, tolerance))
}

/** The best factors of a dense result [out, in]. */
export async function factorizeMatrix(
  sum: LayerSum,
  values: Float32Array,
  maxRank: number,
  tolerance: number,
): Promise<FactorizedDense> {
  return named(sum, () => native().factorizeDense(sum.in, sum.out, values, maxRank, tolerance))
}

/** The best factors of the dense sum, overlay and all. */
export async function factorizeDenseSum(sum: LayerSum, maxRank: number, tolerance: number): Promise<FactorizedDense> {
  const { denseFactors } = sum
  if (denseFactors !== undefined && sum.overlay.length === 0) return named(sum, () => denseFactors(maxRank, tolerance))
  return factorizeMatrix(sum, await exactDense(sum), maxRank, tolerance)
}

/** weight * dense + pairs, [out, in]; `squaredNorm` from before the rounding to f32. */
export async function denseSum(
  sum: LayerSum,
  pairs: FactorPair[],
  dense: Float32Array = nothing,
  weight = 1,
): Promise<{ values: Float32Array; squaredNorm: number }> {
  return named(sum, () => native().denseSum(sum.in, sum.out, pairs, dense, weight))
}

/** The exact sum [out, in], overlay and all. */
async function exactDense(sum: LayerSum): Promise<Float32Array> {
  const overlay = overlayPairs(sum)
  if (sum.dense === undefined) return (await denseSum(sum, pairsOf(sum))).values
  const values = await sum.dense()
  return overlay.length === 0 ? values : (await denseSum(sum, overlay, values)).values
}

/**
 * Frobenius norm of a sum of products. Through QR and singular values, not through a difference of squares: where
 * terms cancel, it is right to about 1e-15 of the largest term, where inner products end at 1e-8.
 */
async function sumNorm(sum: LayerSum, pairs: FactorPair[]): Promise<number> {
  // Tolerance 1 keeps rank 0, so no vectors are formed.
  const { singularValues } = await factorize(sum, pairs, 1, 1)
  return energy(singularValues, 0)
}

/** Norms of the exact sum and of what a result differs from it; `result` are factors, `matrix` a dense result. */
export async function errorOf(
  sum: LayerSum,
  result: FactorPair[],
  matrix: Float32Array = nothing,
): Promise<{ lost: number; norm: number }> {
  const negative = result.map((pair) => ({ ...pair, weight: -pair.weight }))
  const exact = pairsOf(sum)
  const ranks = [...exact, ...result].reduce((total, pair) => total + pair.rank, 0)
  if (sum.dense === undefined && matrix.length === 0 && !isDense(sum, ranks)) {
    return { lost: await sumNorm(sum, [...exact, ...negative]), norm: await sumNorm(sum, exact) }
  }
  const whole = await exactDense(sum)
  const difference = matrix.length === 0 ? whole : whole.map((value, i) => value - (matrix[i] ?? 0))
  return {
    lost: Math.sqrt((await denseSum(sum, negative, difference)).squaredNorm),
    norm: Math.sqrt((await denseSum(sum, [], whole)).squaredNorm),
  }
}

/** Root of the squared singular values from index `from` on, smallest first so that small ones are not lost. */
export function energy(singularValues: Float64Array, from: number): number {
  let total = 0
  for (let j = singularValues.length - 1; j >= from; j--) total += (singularValues[j] ?? 0) ** 2
  return Math.sqrt(total)
}

// A job may also be refused at the door, before there is a promise.
async function named<T>(sum: LayerSum, job: () => Promise<T>): Promise<T> {
  try {
    return await job()
  } catch (error) {
    if (!(error instanceof OneroundError)) throw error
    throw new OneroundError(error.code, `Layer '${sum.name}': ${error.message}.`, {
      found: `updates of ${sum.parts.map((part) => part.client).join(', ')}`,
      fix: error.fix,
      cause: error,
    })
  }
}
