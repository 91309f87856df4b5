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
