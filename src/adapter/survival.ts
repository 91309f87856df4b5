/**
 * How much of an adapter is left in a merged file. For a tensor with change dW, written as round(W + dW):
 *
 *     share = 1 - ||round(W + dW) - (W + dW)|| / ||dW||     (Frobenius norms; not below 0)
 *
 * W is exact as the base's file means it. So 1 is a lossless merge, and 0 one whose rounding is as large as what it
 * should keep. For the whole model the squares are summed over all tensors that the adapter changes.
 */
import { OneroundError } from '../errors.js'

/** Sums of squares, as the addon gives them. */
export interface Squares {
  squaredBase: number
  squaredChange: number
  squaredError: number
}

export interface SurvivalReport {
  /** of all changed tensors together; absent where nothing changes */
  share?: number
  /** the changed tensor that keeps least */
  worst?: { tensor: string; share: number }
  tensors: { tensor: string; share: number }[]
  /** ||round(W) - W|| / ||W|| of the tensors that the adapter does not change: the base's own rounding */
  baseError: number
}

/** A type that loses more than this of dW is refused. */
export const LEAST_SHARE = 0.9

export class Survival {
  readonly #changed = new Map<string, Squares>()
  readonly #others: Squares = { squaredBase: 0, squaredChange: 0, squaredError: 0 }

  add(tensor: string, squares: Squares, changed: boolean): void {
    const sum = changed ? (this.#changed.get(tensor) ?? { ...NONE }) : this.#others
    sum.squaredBase += squares.squaredBase
    sum.squaredChange += squares.squaredChange
    sum.squaredError += squares.squaredError
    if (changed) this.#changed.set(tensor, sum)
  }

  report(): SurvivalReport {
    const all = { ...NONE }
    const tensors: SurvivalReport['tensors'] = []
    for (const [tensor, squares] of this.#changed) {
      all.squaredChange += squares.squaredChange
      all.squaredError += squares.squaredError
      const share = shareOf(squares)
      if (share !== undefined) tensors.push({ tensor, share })
    }
    tensors.sort((left, right) => left.share - right.share || (left.tensor < right.tensor ? -1 : 1))
    const share = shareOf(all)
    const [worst] = tensors
    const { squaredError, squaredBase } = this.#others
    return {
      ...(share === undefined ? {} : { share }),
      ...(worst === undefined ? {} : { worst }),
      tensors,
      baseError: squaredBase === 0 ? 0 : Math.sqrt(squaredError / squaredBase),
    }
  }

  /** @throws OneroundError REFUSED where less than LEAST_SHARE is left */
  check(type: string): void {
    const { share, worst } = this.report()
    if (share === undefined || share >= LEAST_SHARE) return
    throw new OneroundError('REFUSED', `Rounding to ${type} would lose too much of what the adapter changes.`, {
      found: `${percent(share)} of dW survives (least in ${worst?.tensor}: ${percent(worst?.share ?? 0)})`,
      expected: `at least ${percent(LEAST_SHARE)}`,
      fix: 'Serve the base file with the adapter beside it (convert without --merge), merge into F32 or F16, or insist with --lossy.',
    })
  }
}

const NONE: Squares = { squaredBase: 0, squaredChange: 0, squaredError: 0 }

function shareOf({ squaredChange, squaredError }: Squares): number | undefined {
  return squaredChange === 0 ? undefined : Math.max(0, 1 - Math.sqrt(squaredError / squaredChange))
}

export function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`
}
