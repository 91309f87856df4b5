import { OneroundError } from '../errors.js'

/** A whole tensor's difference to the base: W += values. */
export interface DenseDelta {
  /** the tensor's full name, e.g. `model.layers.0.mlp.up_proj.weight` */
  name: string
  /** Hugging Face's, whatever file the base came from: [out, in], GPT-2's Conv1D weights [in, out], vectors [n] */
  shape: number[]
  /** row-major */
  values: Float32Array
}

/** Tensors of decoders are matrices and vectors. */
export const MOST_AXES = 2
export const LONGEST_TENSOR_NAME = 200

/** Every tensor once, with a shape that makes sense and as many numbers as it says. */
export function checkDense(dense: readonly DenseDelta[]): void {
  const names = new Set<string>()
  for (const { name, shape, values } of dense) {
    if (names.has(name) || name === '' || name.length > LONGEST_TENSOR_NAME) {
      throw new OneroundError('ARGUMENT', `The dense delta '${name.slice(0, LONGEST_TENSOR_NAME)}' cannot be taken.`, {
        found: names.has(name) ? 'the same tensor twice' : `a name of ${name.length} characters`,
        expected: `every tensor once, under a name of 1 to ${LONGEST_TENSOR_NAME} characters`,
        fix: 'Give every tensor once, by its full name.',
      })
    }
    names.add(name)
    const sound = shape.length >= 1 && shape.length <= MOST_AXES && shape.every((n) => Number.isSafeInteger(n) && n > 0)
    if (sound && values.length === countOf(shape)) continue
    throw new OneroundError('ARGUMENT', `The dense delta '${name}' does not have its size.`, {
      found: `${values.length} numbers for [${shape.join(', ')}]`,
      expected: `${sound ? countOf(shape) : 'one or two sizes of at least 1, and as many'} numbers, row-major`,
      fix: "Give the tensor's shape and all of its numbers.",
    })
  }
}

/** The name of a linear layer's weight, by the layer's, and back. */
export const weightOfLayer = (layer: string): string => `${layer}.weight`
export const layerOfWeight = (tensor: string): string => tensor.replace(/\.weight$/, '')

/** Numbers of a shape. */
export function countOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1)
}
