/** Clients whose sessions lie beside each other: their steps run as one job, all else one after another. */
import type { Batch } from '../native/binding/batch.js'
import type { NativeSession } from '../native/binding/session.js'
import type { StepOptions, StepResult } from '../native/binding/step.js'
import { native } from '../native/load.js'
import { aborted, isAborted } from './job.js'
import type { TrainingSession } from './session.js'

interface PendingStep {
  member: Member
  batch: Batch
  options: StepOptions
  /** when it was asked for, ms */
  asked: number
  stopped: boolean
  resolve(result: StepResult): void
  reject(error: unknown): void
}

interface PendingJob {
  member: Member
  run(): Promise<void>
  reject(error: unknown): void
}

/**
 * A step is taken when every member has asked for one, so a group is never slower than its slowest member; who leaves is
 * not waited for, and who joins takes part from its first step on. What a member gets has the bits of a session of its
 * own, whoever is beside it.
 */
export class StepGroup {
  readonly #members = new Set<Member>()
  #steps: PendingStep[] = []
  /** those that are being taken */
  #underway: PendingStep[] = []
  #jobs: PendingJob[] = []
  #isRunning = false

  get size(): number {
    return this.#members.size
  }

  /** `session`: one that lies beside those of the other members */
  join(session: NativeSession): Member {
    const member = new Member(this, session)
    this.#members.add(member)
    return member
  }

  leave(member: Member): void {
    this.#members.delete(member)
    this.#next()
  }

  step(member: Member, batch: Batch, options: StepOptions): Promise<StepResult> {
    return new Promise((resolve, reject) => {
      this.#steps.push({ member, batch, options, asked: performance.now(), stopped: false, resolve, reject })
      this.#next()
    })
  }

  /** Runs a job of one member's session when no other is running. */
  alone<T>(member: Member, job: () => Promise<T>): Promise<T> {
    const asked = performance.now()
    return new Promise((resolve, reject) => {
      const run = async () => {
        member.waited += performance.now() - asked
        await job().then(resolve, reject)
      }
      this.#jobs.push({ member, run, reject })
      this.#next()
    })
  }

  /** What the member waits for ends with ABORTED, running or not. */
  stop(member: Member): void {
    member.session.abort()
    for (const job of this.#jobs) if (job.member === member) job.reject(aborted())
    this.#jobs = this.#jobs.filter((job) => job.member !== member)
    for (const step of this.#steps) if (step.member === member) step.reject(aborted())
    this.#steps = this.#steps.filter((step) => step.member !== member)
    for (const step of this.#underway) if (step.member === member) step.stopped = true
  }

  #next(): void {
    if (this.#isRunning) return
    const job = this.#jobs.shift()
    if (job) void this.#run(() => job.run())
    else if (this.#steps.length > 0 && this.#steps.length === this.#members.size) void this.#run(() => this.#together())
  }

  async #run(job: () => Promise<void>): Promise<void> {
    this.#isRunning = true
    await job()
    this.#isRunning = false
    this.#next()
  }

  async #together(): Promise<void> {
    const steps = this.#steps
    this.#underway = steps
    this.#steps = []
    const began = performance.now()
    try {
      const results = await native().stepTogether(
        steps.map(({ member }) => member.session),
        steps.map(({ batch }) => batch),
        steps.map(({ options }) => options),
      )
      const spent = performance.now() - began
      const rows = steps.reduce((sum, { batch }) => sum + batch.ids.length, 0)
      for (const [i, { member, batch, asked, resolve }] of steps.entries()) {
        member.waited += performance.now() - asked - (spent * batch.ids.length) / rows
        resolve(results[i] as StepResult)
      }
    } catch (error) {
      // None has stepped. Stopped by one member, the others try again without it; else each learns alone what is wrong.
      for (const step of steps.filter(({ stopped }) => stopped)) step.reject(aborted(error))
      const left = steps.filter(({ stopped }) => !stopped)
      if (isAborted(error) && left.length < steps.length) this.#steps.push(...left)
      else
        for (const { member, batch, options, resolve, reject } of left)
          await member.session.step(batch, options).then(resolve, reject)
    }
  }
}

/** One client's session in a group. */
export class Member implements TrainingSession {
  readonly session: NativeSession
  readonly #group: StepGroup
  /** milliseconds that went into the other members' work */
  waited = 0

  constructor(group: StepGroup, session: NativeSession) {
    this.#group = group
    this.session = session
  }

  get parameterCount(): number {
    return this.session.parameterCount
  }
  parameters(...range: Parameters<NativeSession['parameters']>): Float32Array {
    return this.session.parameters(...range)
  }
  setParameters(values: Float32Array): void {
    this.session.setParameters(values)
  }
  setAnchor(values: Float32Array): void {
    this.session.setAnchor(values)
  }
  setCorrection(values: Float32Array): void {
    this.session.setCorrection(values)
  }
  addParameters(first: number, values: Float32Array): void {
    this.session.addParameters(first, values)
  }
  loadBase(): void {
    this.session.loadBase()
  }
  optimizerState(): ReturnType<NativeSession['optimizerState']> {
    return this.session.optimizerState()
  }
  setOptimizerState(state: Parameters<NativeSession['setOptimizerState']>[0]): void {
    this.session.setOptimizerState(state)
  }
  resetOptimizer(): void {
    this.session.resetOptimizer()
  }
  step(batch: Batch, options: StepOptions): Promise<StepResult> {
    return this.#group.step(this, batch, options)
  }
  evaluate(batch: Batch): ReturnType<NativeSession['evaluate']> {
    return this.#group.alone(this, () => this.session.evaluate(batch))
  }
  abort(): void {
    this.#group.stop(this)
  }
}
