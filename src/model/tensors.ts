import type { ModelSpec } from './spec.js'

export interface TensorShape {
  /** Hugging Face's full name, e.g. `model.layers.0.mlp.up_proj.weight` */
  name: string
  /** Hugging Face's: [out, in], GPT-2's Conv1D weights [in, out], vectors [n] */
  shape: number[]
}

/** A base's tensor as Hugging Face has it. */
export interface BaseTensor extends TensorShape {
  /** it lies the other way round in this base's file (GPT-2 from GGUF) */
  turned: boolean
}

/** Every tensor of a base, in the base's order; a tied output head is the embedding and stands once. */
export function baseTensors(spec: ModelSpec): BaseTensor[] {
  const conv1d =
    spec.shape.names === 'gpt2' ? new Set(spec.linearLayers.map(({ name }) => `${name}.weight`)) : new Set<string>()
  return spec.tensors.map(({ name, shape, transposed }) => {
    const turned = conv1d.has(name) && !transposed
    return { name, shape: turned ? [...shape].reverse() : [...shape], turned }
  })
}

/** [rows, cols] -> [cols, rows], row-major. */
export function turn(values: Float32Array, rows: number, cols: number): Float32Array {
  const out = new Float32Array(values.length)
  for (let row = 0; row < rows; row++)
    for (let col = 0; col < cols; col++) out[col * rows + row] = values[row * cols + col] ?? 0
  return out
}
