import type { Batch } from './batch.js'
import type { DenseOverlay, OverlayLayer } from './overlay.js'
import type { Slot } from './slots.js'
import type { StepOptions, StepResult } from './step.js'
import type { NativeWeights } from './weights.js'

export interface SessionOptions {
  slots: Slot[]
  /** a layer at most once */
  overlay: (OverlayLayer | DenseOverlay)[]
  threads: number
  /** most rows (tokens) in one forward and backward pass; a longer batch is cut between examples and accumulated */
  rowsPerPass: number
  /** longest example, in tokens; sizes the attention scratch */
  longestExample: number
  /** false: only evaluate() and logits() are allowed and nothing is kept for a backward pass */
  training: boolean
  /** default false; training: keep only each block's input and compute the block again in the backward pass; same bits, less memory */
  recompute?: boolean
  /** bf16: operands of products rounded to bf16, sums in f32; where `CpuInfo.bf16`. Default f32 */
  compute?: 'f32' | 'bf16'
  /** default false; measure every operation for `profile()` */
  profile?: boolean
  /** tokens of a text in the generation cache, at most longestExample; without it the session cannot generate */
  cache?: number
  /** default 1; texts that are generated side by side, at most 256 and rowsPerPass */
  sequences?: number
  /** room for `setAnchor`; default false */
  anchored?: boolean
  /** room for `setCorrection`; default false */
  corrected?: boolean
  /** most sessions that step together (`stepTogether`), default 1; the budget counts the parameters of all of them */
  clients?: number
}

/** Bytes that a session will hold, before it is made. */
export interface MemoryBudget {
  parameters: number
  gradients: number
  optimizer: number
  activations: number
  scratch: number
  cache: number
  total: number
}

/** Trainable parameters, optimizer state, activations and worker threads. One job at a time. */
export interface NativeSession {
  readonly parameterCount: number
  readonly budget: MemoryBudget
  /** copies the flat parameters out: all, or `count` from `first` on */
  parameters(first?: number, count?: number): Float32Array
  setParameters(values: Float32Array): void
  /** the parameters that `proximal` pulls towards; only in a session that is `anchored` */
  setAnchor(values: Float32Array): void
  /** is added to every step's gradient before clipping; only in a session that is `corrected` */
  setCorrection(values: Float32Array): void
  /** parameters[first + i] += values[i], in f32 */
  addParameters(first: number, values: Float32Array): void
  /** dense slots take the base's values */
  loadBase(): void
  /** AdamW's first and second moments (SGD's velocity is the first), and the number of steps done */
  optimizerState(): { first: Float32Array; second: Float32Array; steps: number }
  setOptimizerState(state: { first: Float32Array; second: Float32Array; steps: number }): void
  /** no moments, no steps done */
  resetOptimizer(): void
  /** forward, backward, clip, one step of the optimizer */
  step(batch: Batch, options: StepOptions): Promise<StepResult>
  /** forward and backward only; the gradient of the mean loss, flat */
  gradient(batch: Batch, seed: number): Promise<StepResult & { gradient: Float32Array }>
  /** summed loss and counted tokens of each example; no dropout */
  evaluate(batch: Batch): Promise<{ losses: Float64Array; tokens: Int32Array }>
  /**
   * sums[i] += X'X, [in, in], over all rows X that the layer of slot i reads; undefined: not of that layer. f32, no
   * dropout. The arrays are written in place until the promise settles; of an aborted call they are worth nothing.
   */
  addInputs(batch: Batch, sums: (Float32Array | undefined)[]): Promise<void>
  /** [rows, vocabulary], for tests and small batches; no dropout */
  logits(batch: Batch): Promise<Float32Array>
  /** with the option `profile`: operations of gradient(), step() and evaluate() since the last call */
  profile(): OperationProfile[]
  /** generation: takes a prompt into a sequence's cache, emptied before; [vocabulary] logits of the token after it */
  prefill(ids: Int32Array, sequence?: number): Promise<Float32Array>
  /** generation: one more token of sequence 0 */
  next(id: number): Promise<Float32Array>
  /**
   * generation: one more token of each of these sequences, [sequences, vocabulary] logits. In a session of several
   * sequences all weights are read once for all; a text's bits do not depend on the texts beside it.
   */
  nextEach(ids: Int32Array, sequences: Int32Array): Promise<Float32Array>
  /** the running job, if any, ends with code ABORTED within 100 ms; parameters are then those before the step */
  abort(): void
  /** aborts and frees; may be called twice */
  close(): void
}

/** One operation of the engine, summed over its calls. */
interface OperationProfile {
  operation: string
  calls: number
  seconds: number
  /** of products and attention, two a multiply-add; else 0 */
  flop: number
  /** of the operands, each counted once a call */
  bytes: number
}

export interface SessionBinding {
  Session: {
    new (weights: NativeWeights, options: SessionOptions): NativeSession
    /**
     * Another client's session beside one: over the same base, overlay, buffers and threads, with parameters (zero) and
     * optimizer state of its own. Of all sessions beside each other one job runs at a time. Not where whole tensors train.
     */
    new (beside: NativeSession): NativeSession
  }
  memoryBudget(weights: NativeWeights, options: SessionOptions): MemoryBudget
  /**
   * One step of each of these sessions beside each other, at most `clients` of them: products with what is frozen are
   * computed for the rows of all at once. Each gets the bits of its step alone; where one fails, none has stepped.
   */
  stepTogether(sessions: NativeSession[], batches: Batch[], options: StepOptions[]): Promise<StepResult[]>
}
