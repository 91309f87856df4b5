/** Client batching: clients that train side by side on one machine, over one base, step together. */
import type { Dataset } from '../data/dataset.js'
import { OneroundError } from '../errors.js'
import type { Model } from '../model/open.js'
import type { NativeSession, SessionOptions } from '../native/binding/session.js'
import { native } from '../native/load.js'
import type { Plan } from '../update/plan.js'
import { passShape } from './budget.js'
import { sessionOptions } from './prepare.js'
import { type OpenOptions, openSession, type SessionLender, sameOptions, type TrainingSession } from './session.js'
import { Member, StepGroup } from './step-group.js'

/** Rows of a joined step from which on more of them win little: products are then near their speed for any number. */
const enoughRows = 256

/** How many clients step together, and the room that one pass of theirs has. */
interface JointShape {
  clients: number
  rowsPerPass: number
  longestExample: number
}

/**
 * Clients of a plan whose steps are too small to fill the machine, as groups of even size; undefined where nothing is
 * won, where whole tensors train, or where the memory for more than one is not there.
 * @param o.most clients of a group, whatever their steps' size; default: as many as fill 256 rows
 */
export function jointShape(
  base: Model,
  datasets: readonly Dataset[],
  plan: Plan,
  o: { threads: number; recompute?: boolean | undefined; most?: number | undefined },
): JointShape | undefined {
  if (plan.train.trainable.kind === 'full') return undefined
  const perStep = plan.train.batch * plan.train.accumulate
  const shapes = datasets.map(({ examples }) => passShape(examples, perStep))
  const longestExample = Math.max(...shapes.map((shape) => shape.longestExample))
  const roomOfOne = Math.max(...shapes.map((shape) => shape.rowsPerPass))
  const shapeOf = (clients: number): JointShape => ({
    clients,
    rowsPerPass: Math.max(roomOfOne, Math.min(clients * roomOfOne, 2 * enoughRows), clients),
    longestExample,
  })
  const available = native().cpu().memoryAvailable / 2
  const fits = (shape: JointShape) =>
    native().memoryBudget(base.weights, {
      ...sessionOptions(plan, [], shape, o.threads, o.recompute),
      clients: shape.clients,
    }).total <= available
  let clients = Math.min(datasets.length, o.most ?? Math.floor(enoughRows / rowsOfStep(datasets, perStep)))
  while (clients > 1 && !fits(shapeOf(clients))) clients--
  if (clients <= 1) return undefined
  const groups = Math.ceil(datasets.length / clients)
  return shapeOf(Math.ceil(datasets.length / groups))
}

/** Of a typical client and step. */
function rowsOfStep(datasets: readonly Dataset[], perStep: number): number {
  const examples = datasets.reduce((sum, { count }) => sum + count, 0)
  const rows = datasets.reduce(
    (sum, data) => sum + data.examples.reduce((length, { ids }) => length + ids.length, 0),
    0,
  )
  return (rows / examples) * perStep
}

/** A lender for one client's visit, which knows what of the visit's time was the others'. */
export interface JointVisit extends SessionLender {
  /** seconds */
  readonly waited: number
}

/** Lends sessions beside each other to at most `shape.clients` clients at once. */
export class JointSessions implements Disposable {
  readonly #base: Model
  readonly #shape: JointShape
  readonly #open: OpenOptions
  #groups: { options: SessionOptions; group: StepGroup; sessions: NativeSession[]; idle: NativeSession[] }[] = []

  constructor(base: Model, shape: JointShape, open: OpenOptions = {}) {
    this.#base = base
    this.#shape = shape
    this.#open = open
  }

  visit(): JointVisit {
    let member: Member | undefined
    return {
      acquire: (options) => {
        member = this.#acquire(options)
        return member
      },
      release: (session) => this.#release(session),
      get waited() {
        return (member?.waited ?? 0) / 1000
      },
    }
  }

  [Symbol.dispose](): void {
    for (const { sessions } of this.#groups.splice(0)) for (const session of sessions) session.close()
  }

  #acquire(options: SessionOptions): Member {
    const { clients, rowsPerPass, longestExample } = this.#shape
    const wide = {
      ...options,
      clients,
      longestExample: Math.max(longestExample, options.longestExample),
      rowsPerPass: Math.max(rowsPerPass, options.rowsPerPass),
    }
    const found = this.#groups.find((one) => sameOptions(one.options, wide)) ?? this.#openGroup(wide)
    if (found.group.size >= clients) {
      throw new OneroundError('ARGUMENT', 'The group of clients is full.', {
        found: `${found.group.size + 1} clients at once`,
        expected: `at most ${clients}`,
        fix: 'Release a session first.',
      })
    }
    let session = found.idle.pop()
    if (session === undefined) {
      session = new (native().Session)(found.sessions[0] as NativeSession)
      found.sessions.push(session)
    }
    return found.group.join(session)
  }

  #openGroup(options: SessionOptions) {
    // Groups of another start go first: they hold memory that the new one may need.
    for (const { sessions } of this.#groups.filter(({ group }) => group.size === 0))
      for (const session of sessions) session.close()
    this.#groups = this.#groups.filter(({ group }) => group.size > 0)
    const lead = openSession(this.#base, options, { ...this.#open, sessions: 1 })
    const opened = { options, group: new StepGroup(), sessions: [lead], idle: [lead] }
    this.#groups.push(opened)
    return opened
  }

  #release(session: TrainingSession): void {
    if (!(session instanceof Member)) return
    const owner = this.#groups.find(({ sessions }) => sessions.includes(session.session))
    owner?.idle.push(session.session)
    owner?.group.leave(session)
  }
}
