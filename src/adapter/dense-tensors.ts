/** An adapter as whole matrices, for rules that work entry by entry. */
import type { Adapter, AdapterLayer } from './adapter.js'
import { type DenseDelta, weightOfLayer } from './dense.js'
import { isConv1d } from './peft-save.js'

/**
 * Every tensor that the adapter changes, by full name: scale B A plus dense delta, summed in double. GPT-2's Conv1D
 * weights lie [in, out], as in Hugging Face's files, all others [out, in].
 */
export function denseTensors(adapter: Pick<Adapter, 'layers' | 'dense'> | undefined): Map<string, DenseDelta> {
  const tensors = new Map<string, DenseDelta>()
  if (adapter === undefined) return tensors
  for (const { name, shape, values } of adapter.dense) tensors.set(name, { name, shape, values: values.slice() })
  for (const layer of adapter.layers) {
    const name = weightOfLayer(layer.name)
    const isTurned = isConv1d(layer.name)
    const shape = isTurned ? [layer.in, layer.out] : [layer.out, layer.in]
    const known = tensors.get(name)?.values ?? new Float32Array(layer.in * layer.out)
    tensors.set(name, { name, shape, values: known })
    addProduct(layer, isTurned, known)
  }
  return tensors
}

/** to += scale B A; row by row through a buffer in double. */
function addProduct({ in: inDim, out, rank, scale, a, b }: AdapterLayer, isTurned: boolean, to: Float32Array): void {
  const row = new Float64Array(inDim)
  for (let o = 0; o < out; o++) {
    row.fill(0)
    for (let k = 0; k < rank; k++) {
      const factor = scale * (b[o * rank + k] as number)
      for (let i = 0; i < inDim; i++) row[i] = (row[i] as number) + factor * (a[k * inDim + i] as number)
    }
    for (let i = 0; i < inDim; i++) {
      const at = isTurned ? i * out + o : o * inDim + i
      to[at] = (to[at] as number) + (row[i] as number)
    }
  }
}
