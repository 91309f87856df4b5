/** Weights of clients, or one factor on the whole sum, that fit held-out text; judged on a part they were not fitted on. */
import { toBatch } from '../data/batches.js'
import { OneroundError } from '../errors.js'
import { aborted, type JobOptions } from '../train/job.js'
import { sumLosses } from '../train/score.js'
import { type Descent, descend, type Objective, ontoSimplex } from './descend.js'
import type { HeldOut } from './held-out.js'
import { heldOutError } from './interval.js'
import type { Mixture } from './mixture.js'

/** `weights`: p on the simplex, the factor 1. `lambda`: start + lambda times the weighted sum, weights as they are. */
export type Learnable = 'weights' | 'lambda'

export interface Learned {
  kind: Learnable
  /** by client, summing to 1 */
  weights: Record<string, number>
  lambda: number
  /** steps that lowered the loss on the fitted part */
  steps: number
  /** on the parts that were fitted: even ones */
  fit: LossChange
  /** on the others */
  test: LossChange
}

/** Mean losses, nats a token. */
interface LossChange {
  before: number
  after: number
  tokens: number
  /** of after - before, over the parts; absent where there is one */
  standardError?: number | undefined
}

const MOST_STEPS = 25
/** lambda stays in it: far outside, nothing was ever trained or measured */
const MOST_LAMBDA = 4
const isFitted = (part: number) => part % 2 === 0

export function checkLearnable(heldOut: HeldOut): void {
  if (heldOut.parts >= 4) return
  throw new OneroundError(
    'ARGUMENT',
    'There is too little text to fit weights on one part of it and judge them on another.',
    {
      found: `${heldOut.examples.length} examples`,
      expected: 'at least 4 examples with trained tokens',
      fix: 'Give more held-out data, or learn nothing (--learn).',
    },
  )
}

/**
 * Descent along the engine's own gradient: dL/dc_i = <dL/dW, W_i - start>, one backward pass a step whatever the number of
 * clients. `mixture` must be open for training. `from`: weights by place, summing to 1.
 */
export async function learn(
  kind: Learnable,
  clients: readonly string[],
  from: readonly number[],
  mixture: Mixture,
  heldOut: HeldOut,
  o: JobOptions,
): Promise<Learned> {
  const coefficientsOf = (x: readonly number[]) => (kind === 'weights' ? x : from.map((p) => (x[0] ?? 0) * p))
  const inner = new FittedLoss(mixture, heldOut, o.signal)
  const objective: Objective = {
    loss: (x) => inner.loss(coefficientsOf(x)),
    async slopes(x) {
      const slopes = await inner.slopes(coefficientsOf(x))
      return kind === 'weights' ? slopes : [slopes.reduce((sum, slope, i) => sum + slope * (from[i] ?? 0), 0)]
    },
  }
  const onStep = (step: number, loss: number) =>
    o.onProgress?.({
      phase: `learn ${kind}`,
      done: step,
      total: MOST_STEPS,
      secondsLeft: Number.NaN,
      heldOutLoss: loss,
    })
  const project =
    kind === 'weights' ? ontoSimplex : ([x = 0]: readonly number[]) => [Math.min(MOST_LAMBDA, Math.max(0, x))]
  const end = await descend(kind === 'weights' ? from : [1], project, objective, { steps: MOST_STEPS, onStep })
  return { ...(await judged(mixture, heldOut, from, coefficientsOf(end.x), o)), ...told(kind, clients, from, end) }
}

function told(kind: Learnable, clients: readonly string[], from: readonly number[], { x, steps }: Descent) {
  const weights = kind === 'weights' ? x : from
  return {
    kind,
    weights: Object.fromEntries(clients.map((client, i) => [client, weights[i] ?? 0])),
    lambda: kind === 'weights' ? 1 : (x[0] ?? 0),
    steps,
  }
}

/** The mean loss of the fitted examples and its slopes. */
class FittedLoss implements Objective {
  readonly #mixture: Mixture
  readonly #heldOut: HeldOut
  readonly #signal: AbortSignal | undefined

  constructor(mixture: Mixture, heldOut: HeldOut, signal: AbortSignal | undefined) {
    this.#mixture = mixture
    this.#heldOut = heldOut
    this.#signal = signal
  }

  async loss(coefficients: readonly number[]): Promise<number> {
    this.#mixture.set(coefficients)
    const { sum, tokens } = await sumLosses(this.#mixture.session, this.#heldOut.ofParts(isFitted), {
      rowsPerPass: this.#heldOut.shape.rowsPerPass,
      signal: this.#signal,
    })
    return sum / tokens
  }

  async slopes(coefficients: readonly number[]): Promise<number[]> {
    this.#mixture.set(coefficients)
    const { session } = this.#mixture
    const stop = () => session.abort()
    this.#signal?.addEventListener('abort', stop)
    try {
      const { gradient } = await session.gradient(toBatch(this.#heldOut.ofParts(isFitted)), 0)
      return this.#mixture.slopes(gradient)
    } catch (error) {
      if (this.#signal?.aborted) throw aborted(error)
      throw error
    } finally {
      this.#signal?.removeEventListener('abort', stop)
    }
  }
}

async function judged(
  mixture: Mixture,
  heldOut: HeldOut,
  before: readonly number[],
  after: readonly number[],
  { signal }: JobOptions,
): Promise<{ fit: LossChange; test: LossChange }> {
  mixture.set(before)
  const first = await heldOut.losses(mixture, { signal })
  mixture.set(after)
  const last = await heldOut.losses(mixture, { signal })
  const of = (wanted: (part: number) => boolean) => changeOf(first, last, heldOut.tokens, wanted)
  return { fit: of(isFitted), test: of((part) => !isFitted(part)) }
}

function changeOf(
  before: Float64Array,
  after: Float64Array,
  tokens: Float64Array,
  wanted: (part: number) => boolean,
): LossChange {
  const parts = [...tokens.keys()].filter(wanted)
  const count = parts.reduce((sum, part) => sum + (tokens[part] ?? 0), 0)
  const mean = (sums: Float64Array) => parts.reduce((sum, part) => sum + (sums[part] ?? 0), 0) / count
  const changes = Float64Array.from(parts, (part) => ((after[part] ?? 0) - (before[part] ?? 0)) / count)
  const shares = Float64Array.from(parts, (part) => (tokens[part] ?? 0) / count)
  const standardError = heldOutError(changes, shares)
  return {
    before: mean(before),
    after: mean(after),
    tokens: count,
    ...(standardError === undefined ? {} : { standardError }),
  }
}
