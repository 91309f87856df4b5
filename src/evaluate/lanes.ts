/** Several texts that grow side by side: every step of the engine reads the weights once for all of them. */
import type { NativeSession } from '../native/binding/session.js'
import type { NextToken } from './continue-text.js'

interface Waiting {
  /** a prompt, or the next token */
  ask: Int32Array | number
  resolve: (logits: Float32Array) => void
  reject: (error: unknown) => void
}

/**
 * Lanes over one session of as many sequences. Each lane is a model to `continueText`; a step runs as soon as every lane
 * that is in use waits for one. A text's logits do not depend on what the other lanes say.
 */
export class Lanes {
  readonly #session: NativeSession
  readonly #vocabulary: number
  /** lanes in use; undefined: its text is between two steps */
  readonly #lanes = new Map<number, Waiting | undefined>()
  #running = false

  constructor(session: NativeSession, vocabulary: number) {
    this.#session = session
    this.#vocabulary = vocabulary
  }

  /** A lane in use until it is left. Take all lanes before the first one asks, so that they go in step. */
  take(lane: number): NextToken {
    this.#lanes.set(lane, undefined)
    return {
      prefill: (ids) => this.#ask(lane, ids),
      next: (id) => this.#ask(lane, id),
      abort: () => this.#session.abort(),
    }
  }

  leave(lane: number): void {
    this.#lanes.delete(lane)
    void this.#step()
  }

  #ask(lane: number, ask: Int32Array | number): Promise<Float32Array> {
    return new Promise((resolve, reject) => {
      this.#lanes.set(lane, { ask, resolve, reject })
      void this.#step()
    })
  }

  async #step(): Promise<void> {
    const asked = [...this.#lanes].flatMap(([lane, waiting]) => (waiting === undefined ? [] : [{ lane, ...waiting }]))
    if (this.#running || asked.length === 0 || asked.length < this.#lanes.size) return
    this.#running = true
    for (const { lane } of asked) this.#lanes.set(lane, undefined)
    const answers: (() => void)[] = []
    try {
      for (const { lane, ask, resolve } of asked) {
        if (typeof ask === 'number') continue
        const logits = await this.#session.prefill(ask, lane)
        answers.push(() => resolve(logits))
      }
      const steps = asked.flatMap(({ lane, ask, resolve }) => (typeof ask === 'number' ? [{ lane, ask, resolve }] : []))
      if (steps.length > 0) {
        const ids = Int32Array.from(steps, ({ ask }) => ask)
        const logits = await this.#session.nextEach(
          ids,
          Int32Array.from(steps, ({ lane }) => lane),
        )
        for (const [i, { resolve }] of steps.entries())
          answers.push(() => resolve(logits.subarray(i * this.#vocabulary, (i + 1) * this.#vocabulary)))
      }
      this.#running = false
      for (const answer of answers) answer()
    } catch (error) {
      this.#running = false
      for (const { reject } of asked) reject(error)
    }
  }
}
