import { OneroundError } from '../errors.js'
import { native } from '../native/load.js'
import type { TrainOptions } from '../update/plan.js'

/** What products are computed in: f32 throughout, or operands rounded to bf16 and summed in f32. */
type Compute = 'f32' | 'bf16'

/** `auto` is bf16 where the instruction set in use has it, else f32. Throws UNSUPPORTED for a bf16 that it lacks. */
export function computeOf(wanted: TrainOptions['compute']): Compute {
  const { isa, bf16 } = native().cpu()
  if (wanted === 'bf16' && !bf16) {
    throw new OneroundError('UNSUPPORTED', 'This machine has no bf16 products.', {
      found: `instruction set ${isa}`,
      expected: 'avx512bf16',
      fix: 'Set compute to auto (bf16 where there is one) or to f32 in the plan.',
    })
  }
  if (wanted === 'auto') return bf16 ? 'bf16' : 'f32'
  return wanted
}
