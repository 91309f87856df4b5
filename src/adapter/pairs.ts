/** Halves of factor pairs, found under their names in a file and put together. */
import { OneroundError } from '../errors.js'
import type { SafetensorsTensor } from '../model/safetensors.js'
import type { AdapterLayer } from './adapter.js'
import { floatsOf } from './floats.js'

export interface Pair {
  a?: SafetensorsTensor
  b?: SafetensorsTensor
}

/** How a format lays its two factors. */
interface PairForm {
  /** suffixes in the file, for refusals */
  names: readonly [a: string, b: string]
  /** lora_a [in, r] and lora_b [r, out]: both transposed */
  transposed: boolean
}

/**
 * A layer without its scale. Shapes must fit each other; NaN and infinity are refused.
 * @throws OneroundError MALFORMED, MISMATCH
 */
export function joinPair(name: string, { a, b }: Pair, form: PairForm, file: string): Omit<AdapterLayer, 'scale'> {
  const [nameA, nameB] = form.names
  if (a === undefined || b === undefined) {
    throw new OneroundError('MALFORMED', `${file}: '${name}' has only one factor.`, {
      found: a === undefined ? nameB : nameA,
      expected: `${nameA} and ${nameB}`,
      fix: 'Save the adapter again.',
    })
  }
  const plain = (shape: readonly number[]) => (form.transposed ? [...shape].reverse() : [...shape])
  const [rank = 0, inputs = 0, ...moreA] = plain(a.shape)
  const [outputs = 0, rankB = 0, ...moreB] = plain(b.shape)
  if (moreA.length > 0 || moreB.length > 0 || rank !== rankB || rank < 1 || inputs < 1 || outputs < 1) {
    throw new OneroundError('MISMATCH', `${file}: the factors of '${name}' do not fit each other.`, {
      found: `${nameA} [${a.shape.join(', ')}], ${nameB} [${b.shape.join(', ')}]`,
      expected: form.transposed ? `${nameA} [in, r], ${nameB} [r, out]` : `${nameA} [r, in], ${nameB} [out, r]`,
      fix: 'Save the adapter again.',
    })
  }
  const factor = (tensor: SafetensorsTensor, half: string): Float32Array => {
    const what = `${file}: ${name}.${half}`
    const values = floatsOf(tensor, what)
    if (!values.every(Number.isFinite)) {
      throw new OneroundError('MALFORMED', `${what} holds NaN or infinity.`, {
        expected: 'finite numbers',
        fix: 'Train the adapter again with a lower learning rate.',
      })
    }
    const [rows = 0, cols = 0] = tensor.shape
    return form.transposed ? transpose(values, rows, cols) : values
  }
  return { name, in: inputs, out: outputs, rank, a: factor(a, nameA), b: factor(b, nameB) }
}

/** [rows, cols] -> [cols, rows] */
export function transpose(values: Float32Array, rows: number, cols: number): Float32Array {
  const turned = new Float32Array(values.length)
  for (let r = 0; r < rows; r++) for (let c = 0; c < cols; c++) turned[c * rows + r] = values[r * cols + c] ?? 0
  return turned
}
