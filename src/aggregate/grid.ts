/**
 * The grid on which sums are added as integers: g = round(w_i s B_i A_i / step), element by element, with w_i the
 * client's raw weight (a count, 1, or the number given). Integer addition is exact, so neither order nor grouping nor a
 * removal leaves a trace; the division by sum w_i comes at the end.
 */
import type { Layer } from '../adapter/adapter.js'
import type { FactorPair } from '../native/binding/factors.js'
import { native } from '../native/load.js'
import type { Weights } from '../update/plan.js'

/** No element of one client's weighted update may reach this many steps (its rounding would not be exact). */
export const MOST_STEPS = 2 ** 51
/** Nor may the sum over all clients: 64-bit integers end at 2^63. */
export const MOST_SUM = 2 ** 62

/**
 * The step, from the weights' rule alone: raw weights are larger where they count tokens, so the step is. Relative to
 * the mean update it is at most 2^-32 for clients of one example, 2^-40 with uniform weights; fine-tuning moves weights
 * by about 2^-13 and f32 factors carry 2^-24 of that.
 */
export function gridStep(weights: Weights): number {
  if (weights === 'examples') return 2 ** -32
  if (weights === 'tokens') return 2 ** -24
  if (weights === 'uniform') return 2 ** -40
  // Given numbers may be of any size: the step follows the largest, up to the next power of two.
  const largest = Object.values(weights).reduce((most, weight) => Math.max(most, weight), 0)
  return 2 ** (exponent(largest) - 40)
}

/** Least whole e with value <= 2^e; 0 for a value of 0. */
function exponent(value: number): number {
  if (!(value > 0)) return 0
  let e = 0
  while (2 ** e < value) e++
  while (e > -1000 && 2 ** (e - 1) >= value) e--
  return e
}

/** The factors of a client's layer as its addend: weights in steps. */
export function onGrid(
  { rank, scale }: Pick<Layer, 'rank' | 'scale'>,
  { a, b }: Pick<FactorPair, 'a' | 'b'>,
  weight: number,
  step: number,
): FactorPair {
  return { rank, a, b, weight: (weight * scale) / step }
}

/** grid += sum of the addends */
export async function addToGrid(
  layer: Pick<Layer, 'in' | 'out'>,
  grid: BigInt64Array,
  addends: FactorPair[],
  threads = 1,
): Promise<void> {
  await native().addToGrid(layer.in, layer.out, grid, addends, threads)
}

export function negative(pair: FactorPair): FactorPair {
  return { ...pair, weight: -pair.weight }
}
