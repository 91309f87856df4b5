/** The addon's factorisation with errors that name the layer. */
import { OneroundError } from '../errors.js'
import type { FactorizedSum, FactorPair } from '../native/binding.js'
import { native } from '../native/load.js'
import type { LayerSum } from './method.js'

export async function factorize(
  sum: LayerSum,
  pairs: FactorPair[],
  maxRank: number,
  tolerance: number,
): Promise<FactorizedSum> {
  try {
    return await native().factorizeSum(sum.in, sum.out, pairs, maxRank, tolerance)
  } catch (error) {
    if (!(error instanceof OneroundError)) throw error
    throw new OneroundError(error.code, `Layer '${sum.name}': ${error.message}.`, {
      found: `updates of ${sum.parts.map((part) => part.client).join(', ')}`,
      fix: error.fix,
      cause: error,
    })
  }
}

/**
 * Frobenius norm of a sum of products. Through QR and singular values, not through a difference of squares: where
 * terms cancel, it is right to about 1e-15 of the largest term, where inner products end at 1e-8.
 */
export async function sumNorm(sum: LayerSum, pairs: FactorPair[]): Promise<number> {
  // Tolerance 1 keeps rank 0, so no vectors are formed.
  const { singularValues } = await factorize(sum, pairs, 1, 1)
  return energy(singularValues, 0)
}

/** Root of the squared singular values from index `from` on, smallest first so that small ones are not lost. */
export function energy(singularValues: Float64Array, from: number): number {
  let total = 0
  for (let j = singularValues.length - 1; j >= from; j--) total += (singularValues[j] ?? 0) ** 2
  return Math.sqrt(total)
}
