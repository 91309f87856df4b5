/** The factor of a merged update that does best on held-out data. */
import { OneroundError } from '../errors.js'

export interface LambdaChoice {
  lambda: number
  loss: number
  /** everything that was tried, in the order of lambda */
  tried: { lambda: number; loss: number }[]
}

/**
 * Tries a grid of factors, then halves the step around the best `refinements` times; never below the first or above
 * the last of the grid. `loss` is asked once a value. Defaults: 0, 0.25, .. 2 and 2 refinements, so at most 13 calls.
 */
export async function chooseLambda(
  loss: (lambda: number) => Promise<number>,
  o: { candidates?: readonly number[]; refinements?: number } = {},
): Promise<LambdaChoice> {
  const candidates = [...(o.candidates ?? Array.from({ length: 9 }, (_, i) => i / 4))].sort((x, y) => x - y)
  const known = new Map<number, number>()
  const ask = async (lambda: number) => {
    if (known.has(lambda)) return
    const value = await loss(lambda)
    if (Number.isNaN(value))
      throw new OneroundError('NUMERIC', `The loss at lambda ${lambda} is not a number.`, {
        fix: 'Check the held-out data and the updates.',
      })
    known.set(lambda, value)
  }
  if (candidates.length === 0 || !candidates.every(Number.isFinite))
    throw new OneroundError('ARGUMENT', 'There is no lambda to try.', { fix: 'Give finite candidates.' })
  for (const lambda of candidates) await ask(lambda)
  const [low = 0, high = 0] = [candidates[0], candidates.at(-1)]
  let step = candidates.length < 2 ? 0 : (high - low) / (candidates.length - 1)
  for (let round = 0; round < (o.refinements ?? 2) && step > 0; round++) {
    step /= 2
    const { lambda } = best(known)
    for (const near of [lambda - step, lambda + step]) if (near >= low && near <= high) await ask(near)
  }
  const tried = [...known].map(([lambda, value]) => ({ lambda, loss: value })).sort((x, y) => x.lambda - y.lambda)
  return { ...best(known), tried }
}

/** Of equals the smallest lambda. */
function best(known: ReadonlyMap<number, number>): { lambda: number; loss: number } {
  let chosen = { lambda: Number.NaN, loss: Number.POSITIVE_INFINITY }
  for (const [lambda, loss] of [...known].sort(([x], [y]) => x - y))
    if (loss < chosen.loss || Number.isNaN(chosen.lambda)) chosen = { lambda, loss }
  return chosen
}
