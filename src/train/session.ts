import { OneroundError } from '../errors.js'
import type { Model } from '../model/open.js'
import type { NativeSession, SessionOptions } from '../native/binding/session.js'
import type { Slot } from '../native/binding/slots.js'
import { native } from '../native/load.js'
import { fitMemory, type MemoryNotice } from './memory.js'

export interface OpenOptions {
  onMemory?: ((notice: MemoryNotice) => void) | undefined
  /** sessions that will be held at once, this one and those still to come */
  sessions?: number | undefined
}

/** Makes a session after its memory was computed, told and found to fit. */
export function openSession(base: Model, options: SessionOptions, o: OpenOptions = {}): NativeSession {
  const binding = native()
  const budgetOf = (wanted: SessionOptions) => binding.memoryBudget(base.weights, wanted)
  const fitted = fitMemory(options, budgetOf, o.sessions ?? 1)
  o.onMemory?.(fitted.notice)
  return new binding.Session(base.weights, fitted.options)
}

/** What training uses of a session. */
export type TrainingSession = Pick<
  NativeSession,
  | 'parameterCount'
  | 'parameters'
  | 'setParameters'
  | 'setAnchor'
  | 'setCorrection'
  | 'addParameters'
  | 'loadBase'
  | 'optimizerState'
  | 'setOptimizerState'
  | 'resetOptimizer'
  | 'step'
  | 'evaluate'
  | 'abort'
>

/** Lends sessions for one client's training each. */
export interface SessionLender {
  /** A session for these options; its state is whatever the last owner left. */
  acquire(options: SessionOptions): TrainingSession
  release(session: TrainingSession): void
}

/**
 * Sessions are expensive (an arena and threads), so clients that train one after another on one machine may share
 * one. Only memory is shared: whoever takes a session sets its parameters and its optimizer state before the first
 * step, and no client's numbers reach another one. Sessions are equal when all of their options are; the overlay is
 * compared by identity, because it is the same object for all clients of a round.
 */
export class SessionPool implements SessionLender, Disposable {
  readonly #base: Model
  readonly #open: OpenOptions
  readonly #idle: Owned[] = []
  readonly #busy = new Map<TrainingSession, Owned>()
  readonly #most: number
  #closed = false

  /** `most`: sessions kept idle; an older one is closed when another kind is needed */
  constructor(base: Model, most = 1, open: OpenOptions = {}) {
    this.#base = base
    this.#most = most
    this.#open = open
  }

  acquire(options: SessionOptions): NativeSession {
    if (this.#closed) throw new OneroundError('CLOSED', 'The pool of sessions is closed.', { fix: 'Make a new pool.' })
    const at = this.#idle.findIndex((entry) => sameOptions(entry.options, options))
    let owned = this.#idle.splice(at, at < 0 ? 0 : 1)[0]
    if (owned === undefined) {
      // Idle sessions of another shape go first: they hold memory that the new one may need.
      while (this.#idle.length > 0 && this.#idle.length + this.#busy.size >= this.#most)
        this.#idle.shift()?.session.close()
      const sessions = Math.max(1, (this.#open.sessions ?? 1) - this.#busy.size)
      owned = { options, session: openSession(this.#base, options, { ...this.#open, sessions }) }
    }
    this.#busy.set(owned.session, owned)
    return owned.session
  }

  release(session: TrainingSession): void {
    const owned = this.#busy.get(session)
    if (owned === undefined) return
    this.#busy.delete(session)
    if (this.#closed) owned.session.close()
    else this.#idle.push(owned)
  }

  /** Closes all idle sessions now and busy ones at their release. */
  close(): void {
    this.#closed = true
    for (const { session } of this.#idle.splice(0)) session.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

interface Owned {
  options: SessionOptions
  session: NativeSession
}

/** Whether one session may be used for the other's options. */
export function sameOptions(a: SessionOptions, b: SessionOptions): boolean {
  if (
    a.threads !== b.threads ||
    a.compute !== b.compute ||
    a.rowsPerPass !== b.rowsPerPass ||
    a.longestExample !== b.longestExample ||
    a.training !== b.training ||
    a.recompute !== b.recompute ||
    a.cache !== b.cache ||
    a.sequences !== b.sequences ||
    a.anchored !== b.anchored ||
    a.corrected !== b.corrected ||
    a.clients !== b.clients
  )
    return false
  return (a.overlay === b.overlay || (a.overlay.length === 0 && b.overlay.length === 0)) && sameSlots(a.slots, b.slots)
}

/** Frozen factors are compared by identity: all clients of a plan have the same arrays. */
function sameSlots(a: readonly Slot[], b: readonly Slot[]): boolean {
  return (
    a.length === b.length &&
    a.every((slot, i) => {
      const other: object = b[i] ?? {}
      const fields = Object.entries(slot)
      return (
        fields.length === Object.keys(other).length &&
        fields.every(([key, value]) => Object.is(value, Reflect.get(other, key)))
      )
    })
  )
}
