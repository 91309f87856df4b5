/**
 * The whole native surface, typed. Nothing else in src/ knows that there is an addon.
 * Arguments are checked by the callers; the addon still bounds-checks everything that comes from a file.
 * Every failure of the addon is an Error whose `code` is an ErrorCode of errors.ts.
 */

/** How a tensor's numbers lie in its file. Q types are GGUF's blocks along the last axis: 32 elements, the _K ones 256. */
export type StorageType =
  | 'F32'
  | 'F16'
  | 'BF16'
  | 'Q4_0'
  | 'Q4_1'
  | 'Q5_0'
  | 'Q5_1'
  | 'Q8_0'
  | 'Q2_K'
  | 'Q3_K'
  | 'Q4_K'
  | 'Q5_K'
  | 'Q6_K'

/** Where one base tensor lies. Names and shapes are Hugging Face's. */
export interface TensorPlacement {
  /** e.g. `model.layers.0.self_attn.q_proj.weight` */
  name: string
  /** index into the list of files */
  file: number
  /** absolute byte offset in that file; any alignment */
  offset: number
  type: StorageType
  /** as stored: [out, in], [in, out] where transposed, or [n] */
  shape: number[]
  /**
   * 0 where rows lie in Hugging Face's order. Otherwise the number of heads whose rows lie in GGUF's
   * interleaved order: Hugging Face's row (h, p, i) of [heads, 2, d/2] is the file's row (h, i, p).
   */
  interleavedHeads: number
  /** a linear weight stored [in, out] (GPT-2's Conv1D in Hugging Face's files) */
  transposed: boolean
}

/**
 * A decoder in numbers: Llama, Mistral (window), Qwen2 (qkvBias), Qwen3 (queryKeyNorm) and GPT-2 (the rest) are values of it.
 */
export interface DecoderShape {
  vocabulary: number
  hidden: number
  layers: number
  heads: number
  kvHeads: number
  headDim: number
  intermediate: number
  normEpsilon: number
  /** the output head is the embedding */
  tied: boolean
  /** rotary inverse frequencies, [headDim / 2], with any rope scaling in them; unused with learned positions */
  inverseFrequencies: Float64Array
  /** where the parts are: Hugging Face's module names of Llama (also Mistral's, Qwen2's and Qwen3's) or of GPT-2 */
  names: 'llama' | 'gpt2'
  /** LayerNorm with biases instead of RMSNorm */
  layerNorm: boolean
  /** one GELU (tanh form) layer instead of SwiGLU with a gate */
  gelu: boolean
  /** one layer `c_attn` makes q, k and v, in that order */
  fusedAttention: boolean
  /** biases of q, k and v (or of the fused layer) */
  qkvBias: boolean
  /** biases of o and the feed-forward layers */
  otherBias: boolean
  /** RMSNorm over each head of q and of k, before the rotation */
  queryKeyNorm: boolean
  /** keys that a query sees, itself included; 0: all before it */
  window: number
  /** rows of the table of learned positions; 0: rotary */
  learnedPositions: number
}

/** One thing that trains. Its place in the flat parameter buffer follows the order of the list. */
export type Slot = SlotKind & {
  /** decay of this slot alone; absent: the step's, and none where the tensor is a vector */
  weightDecay?: number
}
type SlotKind =
  /** A [rank, in] then B [out, rank], row-major; y += scale * B A dropout(x). `layer` has no `.weight` suffix. */
  | { kind: 'lora'; layer: string; rank: number; scale: number; dropout: number }
  /** B [out, rank] alone, behind a frozen A [rank, in] */
  | { kind: 'lora_B'; layer: string; rank: number; scale: number; dropout: number; a: Float32Array }
  /** R [rank, rank] between frozen B [out, rank] and A [rank, in]; y += scale * B R A dropout(x) */
  | { kind: 'core'; layer: string; rank: number; scale: number; dropout: number; a: Float32Array; b: Float32Array }
  /** the whole tensor, row-major f32, initialised from the base by `Session.loadBase()` */
  | { kind: 'dense'; tensor: string }

/** What is added to a frozen layer without being trained: y += B A x. A [rank, in], B [out, rank]. */
export interface OverlayLayer {
  layer: string
  rank: number
  a: Float32Array
  b: Float32Array
}

/** The same as a whole matrix: y += W x, W [out, in] row-major. */
export interface DenseOverlay {
  layer: string
  dense: Float32Array
}

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

/** Examples laid one after another, without padding. */
export interface Batch {
  ids: Int32Array
  /** the target at each row, already shifted: labels[t] is the token that follows ids[t], or -100 where no loss is taken */
  labels: Int32Array
  /** tokens of each example; they sum to ids.length; positions restart at each example */
  lengths: Int32Array
  /** one number an example, the counter of its dropout mask; the same example in the same step always gets the same mask */
  dropoutCounters: Uint32Array
  /**
   * evaluate() and logits() only: the example that each one goes on from, -1 for none. It then sees the rows of that one
   * and of all above it, and its positions go on from theirs, as if they were one text; the results have the same bits.
   * Parents come first, an example's descendants follow it at once, at most 16 stand above one, and all rows fit one pass.
   */
  parents?: Int32Array
}

export interface StepOptions {
  /** sgd keeps its velocity where adamw keeps the first moment */
  optimizer: 'adamw' | 'sgd'
  learningRate: number
  /** sgd only */
  momentum: number
  /** sgd only */
  nesterov: boolean
  /** adamw only, as beta2 and epsilon */
  beta1: number
  beta2: number
  epsilon: number
  weightDecay: number
  /** 0: no clipping */
  clipNorm: number
  /** mu of mu/2 ||w - anchor||^2 over merged weights (s B A; dense tensors themselves); its gradient is added before clipping. Default 0 */
  proximal?: number
  /** key of the dropout masks */
  seed: number
}

export interface StepResult {
  /** mean over the trained tokens of the batch, natural logarithm */
  loss: number
  /** number of trained tokens */
  tokens: number
  /** Euclidean norm of the gradient before clipping */
  gradientNorm: number
}

/** The base weights, mapped read-only from their files. Sessions keep it alive; close() only drops this handle. */
export interface NativeWeights {
  readonly bytes: number
  /** rows first .. first + count of a tensor as it is stored, as f32 [count, columns], in Hugging Face's order of rows */
  read(tensor: string, first: number, count: number): Promise<Float32Array>
  close(): void
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
export interface OperationProfile {
  operation: string
  calls: number
  seconds: number
  /** of products and attention, two a multiply-add; else 0 */
  flop: number
  /** of the operands, each counted once a call */
  bytes: number
}

/** One product for a benchmark: y [rows, out] = x w', or d_x [rows, in] = d_y w where `backward`. */
export interface ProductProbe {
  type: StorageType
  rows: number
  in: number
  out: number
  backward: boolean
  compute: 'f32' | 'bf16'
  threads: number
  repeats: number
}

export interface CpuInfo {
  /** the set in use, e.g. `avx512` */
  isa: string
  /** every set that this machine could use, worst first */
  available: string[]
  /** whether the set in use has bf16 products */
  bf16: boolean
  cores: number
  /** bytes that may still be taken: the least of MemAvailable and the cgroup's rest */
  memoryAvailable: number
}

/** One layer's factors for a native product: A [rank, in], B [out, rank], the effect weight * B A. */
export interface FactorPair {
  rank: number
  a: Float32Array
  b: Float32Array
  weight: number
}

export interface FactorizedSum {
  /** numeric rank kept */
  rank: number
  /** [rank, in] */
  a: Float32Array
  /** [out, rank] */
  b: Float32Array
  /** all singular values of the exact sum, descending */
  singularValues: Float64Array
}

/** What factorizeDense gives: the factors, and the norms of the matrix and of what they leave out. */
export interface FactorizedDense extends FactorizedSum {
  /** Frobenius */
  norm: number
  /** Frobenius norm of the rest; told to about 1e-8 of the norm */
  lost: number
}

/** One client's part of a coordinate-wise method; `weight` scales its update. */
export interface CoordinatePart extends FactorPair {
  /** p_i */
  share: number
  /** dare: the seeded stream of this client and layer, a 32-bit number */
  stream: number
}

export interface CoordinateOptions {
  rule: 'median' | 'trimmed-mean' | 'ties' | 'dare'
  /** trimmed-mean: values left out at either end of each coordinate */
  trimmed: number
  /** ties: share of each update's elements in a layer that is kept, by magnitude */
  density: number
  /** dare: probability that an element is left out */
  drop: number
  seed: number
}

/** Rows of a tensor of base + adapter, as a file shall hold them: round(W + scale * B A + delta). */
export interface MergeRequest {
  /** Hugging Face's, e.g. `model.layers.0.mlp.up_proj.weight` */
  tensor: string
  /** rows of the written matrix */
  firstRow: number
  rows: number
  /** F32, F16, BF16 or Q8_0; the bits are ggml's */
  type: StorageType
  /** the written matrix is [in, out] */
  transposed: boolean
  /** rows are written in GGUF's interleaved order among that many heads; 0: in Hugging Face's */
  interleavedHeads: number
  /** A [rank, in], B [out, rank] */
  factors?: { rank: number; scale: number; a: Float32Array; b: Float32Array }
  /** [out, in], or [in, out] where deltaTransposed; comes with it */
  delta?: Float32Array
  deltaTransposed?: boolean
}

export interface MergedRows {
  bytes: Uint8Array
  /** sums of squares over these rows: of W, of dW, of what rounding changed in W + dW */
  squaredBase: number
  squaredChange: number
  squaredError: number
  /** finite numbers that the type cannot hold */
  overflows: number
}

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

export interface ProbeOptions {
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

export interface NativeBinding {
  cpu(): CpuInfo
  Probe: new (weights: NativeWeights, options: ProbeOptions) => NativeProbe
  probeBudget(weights: NativeWeights, options: ProbeOptions): MemoryBudget
  /** squared Frobenius norms of tensors as their file holds them, in double */
  squaredNorms(weights: NativeWeights, tensors: string[]): Promise<Float64Array>
  Weights: new (shape: DecoderShape, files: string[], tensors: TensorPlacement[]) => NativeWeights
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
  /** Philox 4x32-10 stream: uniform in [0,1) or standard normal; the same on every machine */
  random(seed: number, stream: number, count: number, distribution: 'uniform' | 'normal'): Float32Array
  /** [rows, cols] row-major with orthonormal columns, cols <= rows: Q of a Gaussian stream's QR; the same on every machine */
  orthonormal(seed: number, stream: number, rows: number, cols: number): Float32Array
  /**
   * The best factors of sum_i weight_i B_i A_i by QR of the stacks and a small SVD, in double.
   * Keeps the smallest rank <= maxRank whose relative Frobenius error is <= tolerance (0: full numeric rank).
   * B = U sqrt(S), A = sqrt(S) V'. Runs on its own thread.
   */
  factorizeSum(
    inDim: number,
    outDim: number,
    pairs: FactorPair[],
    maxRank: number,
    tolerance: number,
  ): Promise<FactorizedSum>
  /** for benchmarks; all three block for what they measure. Multiply-adds of all threads, times two, a second */
  probePeak(compute: 'f32' | 'bf16', threads: number): number
  /** bytes a second that all threads read together from a buffer of `bytes` */
  probeBandwidth(threads: number, bytes: number): number
  /** seconds of each repeat */
  probeProduct(product: ProductProbe): Float64Array
  /** ||sum_i weight_i B_i A_i||_F^2 from inner products of factors, in double; no dense matrix */
  sumSquaredNorm(inDim: number, outDim: number, pairs: FactorPair[]): number
  /**
   * grid [out, in] += round(weight_i B_i A_i), element by element, for each pair; weights are in steps of the grid, and
   * a negative one takes back exactly what the positive one added. The same bits in any order and on any instruction
   * set. The grid is changed in place while the job runs: do not transfer it. Fails where an element may reach 2^51
   * steps (see elementBound), before anything is added.
   */
  addToGrid(inDim: number, outDim: number, grid: BigInt64Array, pairs: FactorPair[], threads: number): Promise<void>
  /** grid * factor, rounded to f32 */
  gridValues(grid: BigInt64Array, factor: number): Float32Array
  /** into += from */
  mergeGrids(into: BigInt64Array, from: BigInt64Array): void
  /** sum_i |weight_i| max_j |row j of B_i| max_k |column k of A_i|: no element of the sum is larger */
  elementBound(inDim: number, outDim: number, pairs: FactorPair[]): number
  /** sum_i weight_i B_i A_i + denseWeight * dense as [out, in]; `dense` may be empty. The norm is from before the rounding to f32. */
  denseSum(
    inDim: number,
    outDim: number,
    pairs: FactorPair[],
    dense: Float32Array,
    denseWeight: number,
  ): Promise<{ values: Float32Array; squaredNorm: number }>
  /** The best factors of values [out, in], as factorizeSum; for few directions of many through the smaller Gram matrix. */
  factorizeDense(
    inDim: number,
    outDim: number,
    values: Float32Array,
    maxRank: number,
    tolerance: number,
  ): Promise<FactorizedDense>
  /** A method that looks at each element of the updates apart; [out, in]. Dense rows are made a few at a time. */
  coordinateWise(
    inDim: number,
    outDim: number,
    parts: CoordinatePart[],
    options: CoordinateOptions,
  ): Promise<Float32Array>
  /** [m, m]: weight_i weight_j <B_i A_i, B_j A_j>, from inner products of factors, in double */
  productGram(inDim: number, outDim: number, pairs: FactorPair[]): Promise<Float64Array>
  /**
   * sum_f weight_f x_f over files of f32 numbers, mapped and read once; they must not become shorter meanwhile. `lengths`: numbers of each tensor, one behind
   * another from `offset` (bytes) on, alike in all files. squares [files, tensors]: sums of squares, finite exactly
   * where all numbers are.
   */
  meanOfFiles(
    files: { path: string; offset: number; weight: number }[],
    lengths: number[],
    threads: number,
  ): Promise<{ mean: Float32Array; squares: Float64Array }>
  /** Computed in double, rounded to f32 and from there to the type; the same bits on every machine. Runs on its own thread. */
  mergeRows(weights: NativeWeights, request: MergeRequest): Promise<MergedRows>
}
