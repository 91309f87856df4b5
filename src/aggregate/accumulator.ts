/**
 * What an aggregator holds between updates: who has been added, and their factors or, layer by layer, the sum on the
 * grid. It depends on the set of clients alone, never on how it came about.
 */
import { availableParallelism } from 'node:os'
import type { Layer } from '../adapter/adapter.js'
import { OneroundError } from '../errors.js'
import type { FactorPair } from '../native/binding/factors.js'
import { native } from '../native/load.js'
import type { Plan } from '../update/plan.js'
import { refusal } from '../update/refusal.js'
import type { Update, UpdateInfo } from '../update/update.js'
import { FactorRooms } from './factor-rooms.js'
import { addToGrid, gridStep, MOST_STEPS, MOST_SUM, negative, onGrid } from './grid.js'
import { gridGroups } from './grid-groups.js'
import { eachLimited, type LayerJobs } from './layers.js'
import { isDense } from './method.js'
import { byClient } from './sums.js'
import { weightOf } from './weights.js'

/** `updates`: every client's factors. `sums`: factors while they are the smaller form, then the sum on the grid. */
export type Keep = 'updates' | 'sums'

/**
 * Factors that wait beside the sums: of so many clients, and of so much memory, at most. As many are being summed, unless
 * each takes more than half of it.
 */
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
  /** by layer, there where factors are kept; beside sums nobody but the accumulator has these arrays */
  factors: Map<string, Factors>
}

export class Accumulator {
  readonly members = new Map<string, Member>()
  /** by layer: sum over the members, [out, in], in steps */
  readonly grids = new Map<string, BigInt64Array>()
  /** whose factors wait to be summed, and the blocks that hold them */
  #waiting: { members: Member[]; blocks: Float32Array[] } = { members: [], blocks: [] }
  /** the sum of those who waited before */
  #running: Promise<void> = Promise.resolve()
  readonly #rooms = new FactorRooms()
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
   * for others, so that the sum is read and written once for all of them, while more updates come: see `settle`. Beside
   * sums all numbers are copied before this gives way to anything else.
   */
  async add(update: Update, sha256: string): Promise<void> {
    if (this.#broken) await this.#ended()
    this.#checkUsable()
    const { info } = update
    const own = factorsOf(update)
    if (this.keep === 'updates') {
      this.members.set(info.client, { info, sha256, steps: 0, factors: own })
      return
    }
    const member: Member = { info, sha256, steps: this.#bound(info, own), factors: new Map() }
    const block = this.#hold(member, own)
    this.members.set(info.client, member)
    if (block.length === 0) return
    const { members, blocks } = this.#waiting
    members.push(member)
    blocks.push(block)
    if (members.length >= MOST_WAITING.clients || (blocks.length + 1) * block.byteLength > MOST_WAITING.bytes)
      await this.#sumWaiting()
  }

  /**
   * Waits for the sum that runs, where the blocks that it holds and one more would be too much memory: `add` then takes
   * the same block again. An update that somebody else can change is to be checked after this.
   */
  async ready({ adapter }: Update): Promise<void> {
    const bytes = adapter.layers.reduce((sum, { a, b }) => sum + a.byteLength + b.byteLength, 0)
    if (2 * bytes > MOST_WAITING.bytes) await this.#ended()
  }

  /** Sums what waits. To be called before anything is read. */
  async settle(): Promise<void> {
    await this.#sumWaiting()
    await this.#ended()
  }

  /** Copies a client's factors: those of layers that stay factors to their rooms, all others to the block that it returns. */
  #hold(member: Member, own: ReadonlyMap<string, Factors>): Float32Array {
    const summed = new Set(this.#summed(this.members.size + 1))
    const isWaiting = (layer: Layer) => summed.has(layer) && own.has(layer.name)
    const count = this.plan.layers
      .filter(isWaiting)
      .reduce((sum, { rank, in: inDim, out }) => sum + rank * (inDim + out), 0)
    const block = count === 0 ? new Float32Array() : this.#rooms.block(count)
    let at = 0
    const copy = (values: Float32Array): Float32Array => {
      const kept = block.subarray(at, at + values.length)
      kept.set(values)
      at += values.length
      return kept
    }
    for (const layer of this.plan.layers) {
      const factors = own.get(layer.name)
      if (factors === undefined) continue
      const { a, b } = factors
      member.factors.set(layer.name, isWaiting(layer) ? { a: copy(a), b: copy(b) } : this.#rooms.place(layer, factors))
    }
    return block
  }

  /** Begins to sum what waits, once the sum before has ended. */
  async #sumWaiting(): Promise<void> {
    await this.#ended()
    this.#checkUsable()
    const { members, blocks } = this.#waiting
    if (members.length === 0) return
    this.#waiting = { members: [], blocks: [] }
    const all = [...this.members.values()]
    this.#running = this.#change(async () => {
      await this.#sumLoose(all, members)
      this.#rooms.giveBack(blocks)
    })
    // Whoever comes next is told.
    this.#running.catch(() => undefined)
  }

  /** Waits for the sum that runs, and tells once how it failed. */
  async #ended(): Promise<void> {
    const running = this.#running
    this.#running = Promise.resolve()
    await running
  }

  /** In layers of which only the sum is kept, factors go to the grids: of `late` members where there is a grid already. */
  async #sumLoose(all: readonly Member[], late: readonly Member[]): Promise<void> {
    const groups = gridGroups(this.#summed(all.length))
    await eachLimited(groups.length, { ...this.jobs, threads: 1 }, async (index) => {
      const sums = (groups[index] ?? []).map((layer) => {
        const grid = this.grids.get(layer.name)
        const loose = (grid === undefined ? all : late).filter((member) => member.factors.has(layer.name))
        const pairs = loose.map((member) => this.#addend(layer, member))
        const isNew = grid === undefined
        return { ...layer, loose, pairs, isNew, grid: grid ?? new BigInt64Array(layer.in * layer.out) }
      })
      await native().addToGrids(sums, this.jobs.threads ?? availableParallelism())
      for (const { name, grid, loose } of sums) {
        this.grids.set(name, grid)
        for (const member of loose) member.factors.delete(name)
        this.#rooms.release(name)
      }
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
          if (kept !== undefined) other.factors.set(layer.name, this.#rooms.place(layer, kept))
        }
      }
      this.members.delete(member.info.client)
    })
  }

  /** Takes in everything of another accumulator of the same plan, which is not used any more. */
  async merge(other: Accumulator): Promise<void> {
    await this.settle()
    await other.settle()
    this.#checkSum(other.sorted())
    await this.#change(async () => {
      for (const [name, theirs] of other.grids) {
        const mine = this.grids.get(name)
        if (mine === undefined) this.grids.set(name, theirs)
        else native().mergeGrids(mine, theirs)
      }
      for (const [client, member] of other.members) this.members.set(client, member)
      const all = [...this.members.values()]
      await this.#sumLoose(all, all)
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
    try {
      await body()
    } catch (error) {
      this.#broken = true
      throw error
    }
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
