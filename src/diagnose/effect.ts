/** Norms and inner products of what adapters do, from their factors: no dense product is formed. */
import type { Adapter } from '../adapter/adapter.js'
import { isConv1d } from '../adapter/peft-save.js'
import { OneroundError } from '../errors.js'
import { turn } from '../model/tensors.js'
import type { FactorPair } from '../native/binding/factors.js'
import { native } from '../native/load.js'

/** What one or several adapters add to one tensor: a sum of products, and of dense deltas. */
export interface TensorEffect {
  in: number
  out: number
  pairs: FactorPair[]
  dense: { values: Float32Array; weight: number }[]
}

interface Weighted {
  adapter: Adapter
  weight: number
}

/** The weighted sum of adapters by tensor, not yet computed. */
export function effectOf(...parts: readonly Weighted[]): Map<string, TensorEffect> {
  const out = new Map<string, TensorEffect>()
  const at = (name: string, inDim: number, outDim: number): TensorEffect => {
    const known = out.get(name) ?? { in: inDim, out: outDim, pairs: [], dense: [] }
    if (known.in * known.out !== inDim * outDim) {
      throw new OneroundError('MISMATCH', `Two adapters have '${name}' in different sizes.`, {
        found: `${inDim} x ${outDim}`,
        expected: `${known.in} x ${known.out}`,
        fix: 'Compare adapters of one base.',
      })
    }
    out.set(name, known)
    return known
  }
  for (const { adapter, weight } of parts) {
    for (const layer of adapter.layers) {
      if (layer.rank === 0) continue
      const { rank, a, b, scale } = layer
      at(`${layer.name}.weight`, layer.in, layer.out).pairs.push({ rank, a, b, weight: weight * scale })
    }
    for (const { name, shape, values } of adapter.dense) {
      const [rows = 1, columns = 1] = shape.length === 1 ? [1, shape[0]] : shape
      // GPT-2's Conv1D weights lie [in, out]; factors are about [out, in].
      const isTurned = isConv1d(name.replace(/\.weight$/, ''))
      const [inDim, outDim] = isTurned ? [rows, columns] : [columns, rows]
      at(name, inDim, outDim).dense.push({ values: isTurned ? turn(values, rows, columns) : values, weight })
    }
  }
  return out
}

/** ||effect||_F^2 of one tensor, in double. */
async function squaredNorm(effect: TensorEffect): Promise<number> {
  const products = effect.pairs.length === 0 ? 0 : await productsNorm(effect)
  if (effect.dense.length === 0) return products
  const dense = summed(effect)
  let sum = products
  for (const value of dense) sum += value * value
  for (const pair of effect.pairs) sum += 2 * pair.weight * through(dense, effect, pair)
  return Math.max(0, sum)
}

/** By singular values: where products nearly cancel, inner products would keep only half of the digits. */
async function productsNorm({ in: inDim, out, pairs }: TensorEffect): Promise<number> {
  if (pairs.length === 1) return Math.max(0, native().sumSquaredNorm(inDim, out, pairs))
  const { singularValues } = await native().factorizeSum(inDim, out, pairs, 1, 1)
  return singularValues.reduce((sum, value) => sum + value * value, 0)
}

/** <x, y> of one tensor, in double. */
export function innerProduct(x: TensorEffect, y: TensorEffect): number {
  let sum = 0
  for (const p of x.pairs) for (const q of y.pairs) sum += p.weight * q.weight * productOf(p, q, x)
  const [dx, dy] = [x.dense.length > 0 ? summed(x) : undefined, y.dense.length > 0 ? summed(y) : undefined]
  if (dy) for (const p of x.pairs) sum += p.weight * through(dy, x, p)
  if (dx) for (const q of y.pairs) sum += q.weight * through(dx, y, q)
  if (dx && dy) for (let i = 0; i < dx.length; i++) sum += (dx[i] ?? 0) * (dy[i] ?? 0)
  return sum
}

/** tr((A_p A_q') (B_q' B_p)): r_p r_q (in + out) operations. */
function productOf(p: FactorPair, q: FactorPair, { in: inDim, out }: TensorEffect): number {
  let sum = 0
  for (let i = 0; i < p.rank; i++) {
    for (let j = 0; j < q.rank; j++) {
      let a = 0
      for (let k = 0, x = i * inDim, y = j * inDim; k < inDim; k++) a += (p.a[x++] as number) * (q.a[y++] as number)
      let b = 0
      for (let k = 0, x = i, y = j; k < out; k++, x += p.rank, y += q.rank) b += (p.b[x] as number) * (q.b[y] as number)
      sum += a * b
    }
  }
  return sum
}

function summed({ dense }: TensorEffect): Float64Array {
  const sum = new Float64Array(dense[0]?.values.length ?? 0)
  for (const { values, weight } of dense) {
    for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] as number) + weight * (values[i] as number)
  }
  return sum
}

/** <D, B A> = sum_r b_r' D a_r, D [out, in]. */
function through(dense: Float64Array, { in: inDim, out }: TensorEffect, { rank, a, b }: FactorPair): number {
  let sum = 0
  for (let o = 0; o < out; o++) {
    for (let r = 0; r < rank; r++) {
      let row = 0
      for (let i = 0; i < inDim; i++) row += (dense[o * inDim + i] as number) * (a[r * inDim + i] as number)
      sum += row * (b[o * rank + r] as number)
    }
  }
  return sum
}

interface EffectNorms {
  /** over all tensors together */
  norm: number
  tensors: { name: string; norm: number }[]
}

/** Frobenius norms of a weighted sum of adapters. */
export async function effectNorms(...parts: readonly Weighted[]): Promise<EffectNorms> {
  const tensors: { name: string; norm: number }[] = []
  let sum = 0
  for (const [name, effect] of effectOf(...parts)) {
    const squared = await squaredNorm(effect)
    sum += squared
    tensors.push({ name, norm: Math.sqrt(squared) })
  }
  return { norm: Math.sqrt(sum), tensors }
}
