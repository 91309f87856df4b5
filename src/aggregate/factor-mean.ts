/** Means of factors, A and B apart: cheap, common, and not the sum of the products. */
import { OneroundError } from '../errors.js'
import type { FactorPair } from '../native/binding/factors.js'
import type { LayerSum, Part } from './method.js'

interface MeanFactors {
  rank: number
  scale: number
  a: Float32Array
  b: Float32Array
}

/** mean(B) and mean(A) by p_i, in double, clients in the order of their names; all must have one rank and one scale. */
export function meanFactors(sum: LayerSum, method: string): MeanFactors {
  const parts = sum.parts.filter((part) => part.weight !== 0)
  const first = alike(sum, parts, method)
  const shares = parts.map((part) => part.weight)
  return { rank: first.rank, scale: first.scale, a: mean(parts, 'a', shares), b: mean(parts, 'b', shares) }
}

export function pairOfMean({ rank, scale, a, b }: MeanFactors): FactorPair {
  return { rank, a, b, weight: scale }
}

/** sum of share_i factor_i */
function mean(parts: readonly Part[], factor: 'a' | 'b', shares: readonly number[]): Float32Array {
  const total = new Float64Array(parts[0]?.[factor].length ?? 0)
  parts.forEach((part, index) => {
    const values = part[factor]
    const share = shares[index] ?? 0
    for (let i = 0; i < total.length; i++) total[i] = (total[i] ?? 0) + share * (values[i] ?? 0)
  })
  return Float32Array.from(total)
}

/** The first part; refuses where another has another rank or scale. */
export function alike(sum: LayerSum, parts: readonly Part[], method: string): Part {
  const [first] = parts
  if (first === undefined)
    throw new OneroundError('ARGUMENT', 'No client has a weight above 0.', {
      fix: 'Give at least one client a positive weight.',
    })
  for (const part of parts) {
    if (part.rank === first.rank && part.scale === first.scale) continue
    throw new OneroundError(
      'REFUSED',
      `Layer '${sum.name}' has different ranks or scales at different clients, and ${method} cannot average them.`,
      {
        found: `client '${first.client}' with rank ${first.rank}, scale ${first.scale}; client '${part.client}' with rank ${part.rank}, scale ${part.scale}`,
        expected: 'one rank and one scale for the layer',
        fix: "Aggregate with the method 'svd' or 'stack', which take mixed ranks.",
      },
    )
  }
  return first
}
