/** Whether an adapter belongs to a base, and whether a format can hold it. */
import { OneroundError } from '../errors.js'
import { expectedTensors } from '../model/modules.js'
import type { ModelSpec } from '../model/spec.js'
import type { Adapter } from './adapter.js'

/** Every layer must be a linear layer of the base, with its sizes; every delta a tensor with its shape. */
export function checkFits(adapter: Pick<Adapter, 'layers' | 'dense'>, spec: ModelSpec): void {
  const linear = new Map(spec.linearLayers.map((layer) => [layer.name, layer]))
  for (const { name, in: inputs, out } of adapter.layers) {
    const layer = linear.get(name)
    if (layer === undefined) throw unknown(`layer '${name}'`, [...linear.keys()][0], spec)
    if (layer.in !== inputs || layer.out !== out) {
      throw misfit(`layer '${name}'`, `in ${inputs}, out ${out}`, `in ${layer.in}, out ${layer.out}`)
    }
  }
  const tensors = new Map([...expectedTensors(spec.shape)].map((tensor) => [tensor.name, tensor]))
  for (const { name, shape } of adapter.dense) {
    const tensor = tensors.get(name)
    if (tensor === undefined) throw unknown(`tensor '${name}'`, [...tensors.keys()][0], spec)
    const expected = transposedOf(spec, tensor.linear !== undefined) ? [...tensor.dims].reverse() : tensor.dims
    if (shape.join() !== expected.join()) throw misfit(`tensor '${name}'`, `[${shape}]`, `[${expected}]`)
  }
}

/** Hugging Face lays GPT-2's linear weights [in, out], and so are their deltas. */
export function transposedOf({ shape }: ModelSpec, linear: boolean): boolean {
  return linear && shape.names === 'gpt2'
}

export function refuseDense(adapter: Pick<Adapter, 'dense'>, format: string): void {
  const [first] = adapter.dense
  if (first === undefined) return
  throw new OneroundError('UNSUPPORTED', `${format} has no place for dense deltas.`, {
    found: `dense deltas of ${adapter.dense.length} tensors, such as ${first.name}`,
    expected: 'factors of linear layers only',
    fix: 'Merge it into its base (--merge), or aggregate with the method svd.',
  })
}

function unknown(what: string, example: string | undefined, { architecture }: ModelSpec): OneroundError {
  return new OneroundError('MISMATCH', `The base has no ${what}, which the adapter changes.`, {
    found: what,
    expected: `a linear layer of this ${architecture} model, such as ${example ?? 'none'}`,
    fix: 'Give the base that the adapter was trained on.',
  })
}

function misfit(what: string, found: string, expected: string): OneroundError {
  return new OneroundError('MISMATCH', `The adapter's ${what} has another size than in the base.`, {
    found,
    expected,
    fix: 'Give the base that the adapter was trained on.',
  })
}
