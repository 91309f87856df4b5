/** One frozen A that all clients share; the mean of the B is then exact (FFA-LoRA, arXiv 2403.12313). */
import { OneroundError } from '../errors.js'
import { alike, meanFactors, pairOfMean } from './factor-mean.js'
import { type LayerMethod, overlayPairs } from './method.js'
import { sideBySide } from './stack.js'

/** Refuses updates whose A differ in any number: their mean would not be the sum. */
export const ffaLayer: LayerMethod = async (sum) => {
  const parts = sum.parts.filter((part) => part.weight !== 0)
  const first = alike(sum, parts, 'ffa')
  const other = parts.find((part) => part.a.some((value, i) => value !== first.a[i]))
  if (other !== undefined) {
    throw new OneroundError('REFUSED', `Layer '${sum.name}' has different A at different clients, and ffa needs one.`, {
      found: `another A at client '${other.client}' than at client '${first.client}'`,
      expected: 'one frozen A that all clients share',
      fix: "Train with a frozen A, or aggregate with the method 'svd'.",
    })
  }
  const mean = { ...meanFactors(sum, 'ffa'), a: first.a.slice() }
  const { name, in: inDim, out } = sum
  const layer =
    sum.overlay.length === 0
      ? { name, in: inDim, out, ...mean }
      : sideBySide(sum, [pairOfMean(mean), ...overlayPairs(sum)])
  return { layer, lost: 0, norm: 0 }
}
