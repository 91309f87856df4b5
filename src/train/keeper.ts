import { type CheckpointIdentity, type CheckpointState, saveCheckpoint } from './checkpoint.js'
import { isAborted } from './job.js'

/** Writes a training's checkpoint from time to time and when it is stopped; without a file it does nothing. */
export class Keeper {
  readonly #file: string | undefined
  readonly #identity: CheckpointIdentity
  readonly #seconds: number
  readonly #capture: () => CheckpointState
  #last = performance.now()

  constructor(file: string | undefined, identity: CheckpointIdentity, seconds: number, capture: () => CheckpointState) {
    this.#file = file
    this.#identity = identity
    this.#seconds = seconds
    this.#capture = capture
  }

  async keep(): Promise<void> {
    if (this.#file !== undefined) await saveCheckpoint(this.#file, this.#identity, this.#capture())
    this.#last = performance.now()
  }

  async keepIfDue(): Promise<void> {
    if (performance.now() - this.#last >= this.#seconds * 1000) await this.keep()
  }

  /** Does the work; where it is stopped, what was done so far is kept: the parameters are those of the last whole step. */
  async guard<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      if (isAborted(error)) await this.keep()
      throw error
    }
  }
}
