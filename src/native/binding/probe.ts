import type { Batch } from './batch.js'
import type { MemoryBudget } from './session.js'
import type { StepResult } from './step.js'
import type { NativeWeights } from './weights.js'

/** Added to a tensor of a probe: weight * B A [out, in]; with rank 0 weight * a, `a` as the tensor is stored and b empty. */
export interface PointTerm {
  /** e.g. `model.layers.0.self_attn.q_proj.weight` */
  tensor: string
  rank: number
  weight: number
  /** [rank, in] */
  a: Float32Array
  /** [out, rank] */
  b: Float32Array
}

interface ProbeOptions {
  /** what is looked at; nothing else of the model moves */
  tensors: string[]
  threads: number
  rowsPerPass: number
  longestExample: number
}

/**
 * Gradients at two points of the weights. x is the point, g its gradient, x0 and g0 what keep() kept of them; all four
 * are dense f32 over the tensors looked at. One job at a time.
 */
export interface NativeProbe {
  /** x = base + sum of the terms */
  place(terms: PointTerm[]): Promise<void>
  /** g = the gradient of the batch's mean loss at x; no dropout */
  gradient(batch: Batch): Promise<StepResult>
  /** x0 = x; g0 = weight * g, or g0 += weight * g where `add` */
  keep(weight: number, add: boolean): Promise<void>
  /** x = x0 + length * n / |n|, n standard normal and the same on every machine; draw from 0 to 65535 */
  stepRandom(seed: number, draw: number, length: number): Promise<void>
  /** x = x0 + length * (g - g0) / |g - g0| */
  stepAlongChange(length: number): Promise<void>
  /**
   * Eight sums a tensor, in double, in the order of the tensors: x.x, (x-x0).(x-x0), g.g, g0.g0, g.g0, (g-g0).(g-g0),
   * g.(x-x0), (g-g0).(x-x0)
   */
  compare(): Promise<Float64Array>
  abort(): void
  /** aborts and frees; may be called twice */
  close(): void
}

export interface ProbeBinding {
  Probe: new (weights: NativeWeights, options: ProbeOptions) => NativeProbe
  probeBudget(weights: NativeWeights, options: ProbeOptions): MemoryBudget
}
