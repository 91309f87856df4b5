import type { TrainOptions } from '../update/plan.js'
import type { TrainingSession } from './session.js'

/** A look at the client's own held-out part while it trains. */
export interface EvaluationRecord {
  /** optimizer steps done in this round */
  step: number
  /** mean over the held-out tokens, nats */
  loss: number
  /** no earlier look of this round had a lower loss */
  best: boolean
}

/** What a checkpoint must hold of the looks so far. */
export interface EvaluationState {
  records: EvaluationRecord[]
  /** parameters at the best look; kept only where training may stop early */
  best: Float32Array | undefined
}

/** Optimizer steps between two looks; undefined: none are taken. */
export function stepsBetween(train: TrainOptions, stepsPerEpoch: number): number | undefined {
  return train.evaluateEvery === 'epoch' ? stepsPerEpoch : train.evaluateEvery
}

/**
 * Looks at the held-out loss every so many steps of a round. With patience it ends the training after so many looks in
 * a row without a new best, and puts the parameters of the best one back: those are sent, also when the last step was
 * reached. The last step is always looked at, so that the end is judged like the rest.
 */
export class Evaluations {
  readonly #every: number | undefined
  readonly #patience: number | undefined
  readonly #steps: number
  readonly #records: EvaluationRecord[]
  #best: Float32Array | undefined

  constructor(o: { every: number | undefined; patience: number | undefined; steps: number; from?: EvaluationState }) {
    this.#every = o.every
    this.#patience = o.patience
    this.#steps = o.steps
    this.#records = [...(o.from?.records ?? [])]
    this.#best = o.from?.best
  }

  get state(): EvaluationState {
    return { records: [...this.#records], best: this.#best }
  }

  /** Looks where it is time to, once; true: the training ends here. `lossOf` judges the session's parameters. */
  async after(
    stepsDone: number,
    session: TrainingSession,
    lossOf: () => Promise<number | undefined>,
    onEvaluation?: (record: EvaluationRecord) => void | Promise<void>,
  ): Promise<boolean> {
    if (this.#isDue(stepsDone)) {
      const loss = await lossOf()
      if (loss === undefined) return false
      const best = this.#records.every((record) => loss < record.loss)
      if (best && this.#patience !== undefined) this.#best = session.parameters()
      const record = { step: stepsDone, loss, best }
      this.#records.push(record)
      await onEvaluation?.(record)
    }
    return this.#isOver()
  }

  /** The loss that stands for what is sent, where a look has already found it. */
  finish(session: TrainingSession): number | undefined {
    if (this.#best !== undefined) {
      session.setParameters(this.#best)
      return this.#records.findLast(({ best }) => best)?.loss
    }
    const last = this.#records.at(-1)
    return last?.step === this.#steps ? last.loss : undefined
  }

  #isDue(stepsDone: number): boolean {
    if (this.#every === undefined || stepsDone === 0 || this.#records.some(({ step }) => step === stepsDone))
      return false
    return stepsDone % this.#every === 0 || stepsDone === this.#steps
  }

  #isOver(): boolean {
    if (this.#patience === undefined) return false
    return this.#records.length - 1 - this.#records.findLastIndex(({ best }) => best) >= this.#patience
  }
}
