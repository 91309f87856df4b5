/**
 * What an aggregator holds between updates: who has been added, and their factors or, layer by layer, the sum on the
 * grid. It depends on the set of clients alone, never on how it came about.
 */
import type { Layer } from '../adapter/adapter.js'
import { OneroundError } from '../errors.js'
import type { FactorPair } from '../native/binding/factors.js'
import { native } from '../native/load.js'
import type { Plan } from '../update/plan.js'
import { refusal } from '../update/refusal.js'
import type { Update, UpdateInfo } from '../update/update.js'
import { addToGrid, gridStep, MOST_STEPS, MOST_SUM, negative, onGrid } from './grid.js'
import { eachLimited, type LayerJobs } from './layers.js'
import { isDense } from './method.js'
import { byClient } from './sums.js'
import { weightOf } from './weights.js'

/** `updates`: every client's factors. `sums`: factors while they are the smaller form, then the sum on the grid. */
export type Keep = 'updates' | 'sums'

/** Factors that wait beside the sums: of so many clients, and of about so much memory, at most. */
const MOST_WAITING = { clients: 16, bytes: 16 * 2 ** 20 }

export interface Factors {
  a: Float32Array
  b: Float32Array
}

export interface Member {
  info: UpdateInfo
  /** of the update file */
  sha256: string
  /** bound of its elements on the grid, in steps, over all layers */
  steps: number
  /** by layer, there where factors are kept */
  factors: Map<string, Factors>
}

export class Accumulator {
  readonly members = new Map<string, Member>()
  /** by layer: sum over the members, [out, in], in steps */
  readonly grids = new Map<string, BigInt64Array>()
  /** whose factors wait to be summed */
  #waiting = { clients: 0, bytes: 0 }
  #broken = false

  constructor(
    readonly plan: Plan,
    readonly keep: Keep,
    readonly jobs: LayerJobs,
  ) {}

  /** true where `count` clients leave only the sum of this layer */
  isSummed(layer: Layer, count: number): boolean {
    return this.keep === 'sums' && isDense(layer, count * layer.rank)
  }

  /** Members in the order of their names. */
  sorted(): Member[] {
    return byClient(this.members.values())
  }

  /**
   * The update has been checked and its client is not a member. Where only the sum of a layer is kept, its factors wait
   * for others, so that the sum is read and written once for all of them: see `settle`.
   */
  async add(update: Update, sha256: string): Promise<void> {
    const { info, adapter } = update
    const own = new Map(adapter.layers.map(({ name, a, b }) => [name, { a, b }]))
    const steps = this.keep === 'updates' ? 0 : this.#bound(info, own)
    const added: Member = { info, sha256, steps, factors: own }
    this.#checkUsable()
    this.members.set(info.client, added)
    const bytes = this.#summed(this.members.size)
      .filter(({ name }) => own.has(name))
      .reduce((sum, { rank, in: inDim, out }) => sum + 4 * rank * (inDim + out), 0)
    if (bytes === 0) return
    this.#waiting = { clients: this.#waiting.clients + 1, bytes: this.#waiting.bytes + bytes }
    if (this.#waiting.clients >= MOST_WAITING.clients || this.#waiting.bytes > MOST_WAITING.bytes) await this.settle()
  }

  /** Sums what waits. To be called before anything is read. */
  async settle(): Promise<void> {
    await this.#change(() => this.#sumLoose(this.members.size, this.members.values()))
    this.#waiting = { clients: 0, bytes: 0 }
  }

  /** Factors of these members, in layers of which only the sum is kept for `count` members, go to the grids. */
  async #sumLoose(count: number, members: Iterable<Member>): Promise<void> {
    const all = [...members]
    await this.#eachLayer(this.#summed(count), async (layer) => {
      const loose = all.filter((member) => member.factors.has(layer.name))
      if (loose.length === 0) return
      const grid = this.grids.get(layer.name) ?? new BigInt64Array(layer.in * layer.out)
      await addToGrid(
        layer,
        grid,
        loose.map((member) => this.#addend(layer, member)),
      )
      this.grids.set(layer.name, grid)
      for (const member of loose) member.factors.delete(layer.name)
    })
  }

  /**
   * Takes a member out. Layers of which only the sum was kept need its update again, and those that become small
   * enough for factors need everybody's: `updateOf` finds them, or the removal is refused before anything changes.
   */
  async remove(member: Member, updateOf: (member: Member) => Promise<Update | undefined>): Promise<void> {
    await this.settle()
    const count = this.members.size - 1
    const rest = [...this.members.values()].filter((other) => other !== member)
    const summed = this.plan.layers.filter((layer) => this.grids.has(layer.name))
    const back = summed.filter((layer) => !this.isSummed(layer, count))
    const own = summed.length > back.length ? factorsOf(await this.#found(member, updateOf)) : undefined
    const others = new Map<Member, Map<string, Factors>>()
    if (back.length > 0) for (const other of rest) others.set(other, factorsOf(await this.#found(other, updateOf)))
    await this.#change(async () => {
      await this.#eachLayer(this.#summed(count), async (layer) => {
        const grid = this.grids.get(layer.name)
        if (grid === undefined) return
        await addToGrid(layer, grid, [negative(this.#addend(layer, member, own?.get(layer.name)))])
      })
      for (const layer of back) {
        this.grids.delete(layer.name)
        for (const [other, factors] of others) {
          const kept = factors.get(layer.name)
          if (kept !== undefined) other.factors.set(layer.name, kept)
        }
      }
      this.members.delete(member.info.client)
    })
  }

  /** Takes in everything of another accumulator of the same plan, which is not used any more. */
  async merge(other: Accumulator): Promise<void> {
    await this.settle()
    await other.settle()
    const count = this.members.size + other.members.size
    this.#checkSum(other.sorted())
    await this.#change(async () => {
      for (const [name, theirs] of other.grids) {
        const mine = this.grids.get(name)
        if (mine === undefined) this.grids.set(name, theirs)
        else native().mergeGrids(mine, theirs)
      }
      for (const [client, member] of other.members) this.members.set(client, member)
      await this.#sumLoose(count, this.members.values())
    })
  }

  #summed(count: number): Layer[] {
    return this.plan.layers.filter((layer) => this.isSummed(layer, count))
  }

  async #eachLayer(layers: readonly Layer[], body: (layer: Layer) => Promise<void>): Promise<void> {
    await eachLimited(layers.length, { threads: this.jobs.threads }, async (index) => {
      const layer = layers[index]
      if (layer !== undefined) await body(layer)
    })
  }

  #addend(layer: Layer, member: Member, factors = member.factors.get(layer.name)): FactorPair {
    if (factors === undefined)
      throw new OneroundError('NATIVE', `The factors of client '${member.info.client}' are gone.`, {
        fix: 'Please report this as a defect.',
      })
    const { weights } = this.plan.aggregate
    return onGrid({ ...layer, ...factors }, weightOf(weights, member.info), gridStep(weights))
  }

  /** Largest element that this client can have on the grid; refused where it does not fit, alone or with the others. */
  #bound(info: UpdateInfo, factors: ReadonlyMap<string, Factors>): number {
    const member: Member = { info, sha256: '', steps: 0, factors: new Map(factors) }
    for (const layer of this.plan.layers)
      member.steps = Math.max(member.steps, native().elementBound(layer.in, layer.out, [this.#addend(layer, member)]))
    this.#checkSum([member])
    return member.steps
  }

  #checkSum(more: readonly Member[]): void {
    let total = [...this.members.values()].reduce((sum, { steps }) => sum + steps, 0)
    for (const { info, steps } of more) {
      total += steps
      if (steps < MOST_STEPS && total < MOST_SUM) continue
      const [value, limit] = steps < MOST_STEPS ? [total, MOST_SUM] : [steps, MOST_STEPS]
      throw refusal(
        info.client,
        'grid',
        `elements of up to ${value.toExponential(2)} steps of the grid`,
        `below ${limit.toExponential(2)}`,
        "Keep updates instead of sums, or plan with weights 'uniform'.",
      )
    }
  }

  async #found(member: Member, updateOf: (member: Member) => Promise<Update | undefined>): Promise<Update> {
    const update = await updateOf(member)
    if (update !== undefined) return update
    throw new OneroundError(
      'NOT_FOUND',
      `Only sums were kept, and taking a client out exactly needs the update of client '${member.info.client}'.`,
      {
        found: 'sums without its factors',
        expected: `the update file with SHA-256 ${member.sha256}`,
        fix: 'Give the update file; where few clients would be left, give those of all of them.',
      },
    )
  }

  /** A change that fails half-way leaves nothing that may be used. */
  async #change(body: () => Promise<void>): Promise<void> {
    this.#checkUsable()
    this.#broken = true
    await body()
    this.#broken = false
  }

  #checkUsable(): void {
    if (this.#broken)
      throw new OneroundError('CLOSED', 'The aggregation failed before and holds no sound sum.', {
        fix: 'Open it again from its last saved state, or from the updates.',
      })
  }
}

function factorsOf(update: Update): Map<string, Factors> {
  return new Map(update.adapter.layers.map(({ name, a, b }) => [name, { a, b }]))
}
