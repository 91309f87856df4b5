/**
 * What an aggregator holds between updates: who has been added, and their factors or, layer by layer, the sum on the
 * grid. It depends on the set of clients alone, never on how it came about.
 */
import { availableParallelism } from 'node:os'
import type { Layer } from '../adapter/adapter.js'
import { OneroundError } from '../errors.js'
import { native } from '../native/load.js'
import type { Plan } from '../update/plan.js'
import type { Update } from '../update/update.js'
import { FactorRoom } from './factor-room.js'
import { addToGrid, negative } from './grid.js'
import { addendOf, checkFits, stepsOf } from './grid-addends.js'
import { gridGroups } from './grid-groups.js'
import { eachLimited, type LayerJobs } from './layers.js'
import type { Factors, Keep, Member } from './member.js'
import { isDense } from './method.js'
import { byClient } from './sums.js'

/**
 * Factors that wait beside the sums: of so many clients, and of so much memory, at most. As many are being summed, unless
 * each takes more than half of it.
 */
const MOST_WAITING = { clients: 16, bytes: 16 * 2 ** 20 }

/** Whose factors wait to be summed, and what holds them. */
interface Waiting {
  members: Member[]
  room: FactorRoom
}

export class Accumulator {
  readonly members = new Map<string, Member>()
  /** by layer: sum over the members, [out, in], in steps */
  readonly grids = new Map<string, BigInt64Array>()
  /** by layer: factors until it is summed, of no more bytes than half its sum has */
  readonly #rooms = new Map<string, FactorRoom>()
  #waiting: Waiting | undefined
  /** bytes of a room for those who wait: one update always fits */
  readonly #waitingBytes: number
  /** the sum of those who waited before */
  #running: Promise<void> = Promise.resolve()
  /** of those who waited; who waits next takes the last, so there are never more than two */
  readonly #idle: FactorRoom[] = []
  #broken = false

  constructor(
    readonly plan: Plan,
    readonly keep: Keep,
    readonly jobs: LayerJobs,
  ) {
    const update = plan.layers.reduce((sum, { rank, in: inDim, out }) => sum + 4 * rank * (inDim + out), 0)
    this.#waitingBytes = Math.max(MOST_WAITING.bytes, update)
  }

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
    const steps = stepsOf(this.plan, info, own)
    checkFits(this.members.values(), [{ info, steps }])
    const { factors, bytes } = this.#hold(own)
    const member: Member = { info, sha256, steps, factors }
    this.members.set(info.client, member)
    if (bytes === 0) return
    const { members, room } = this.#nextSum()
    members.push(member)
    if (members.length >= MOST_WAITING.clients || room.used + bytes > MOST_WAITING.bytes) await this.#sumWaiting()
  }

  /**
   * Waits for the sum that runs, where its room and one more would be too much memory: `add` then takes the same room
   * again. An update that somebody else can change is to be checked after this.
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

  /**
   * Copies the factors of one client more: those of layers that stay factors to their rooms, all others, of so many
   * bytes, to where they wait.
   */
  #hold(own: ReadonlyMap<string, Factors>): { factors: Map<string, Factors>; bytes: number } {
    const factors = new Map<string, Factors>()
    let bytes = 0
    for (const layer of this.plan.layers) {
      const found = own.get(layer.name)
      if (found === undefined) continue
      const waits = this.isSummed(layer, this.members.size + 1)
      if (waits) bytes += found.a.byteLength + found.b.byteLength
      factors.set(layer.name, (waits ? this.#nextSum().room : this.#roomOf(layer)).place(found))
    }
    return { factors, bytes }
  }

  #nextSum(): Waiting {
    this.#waiting ??= { members: [], room: this.#idle.pop() ?? new FactorRoom(this.#waitingBytes) }
    return this.#waiting
  }

  #roomOf({ name, in: inDim, out }: Layer): FactorRoom {
    const room = this.#rooms.get(name) ?? new FactorRoom(4 * inDim * out)
    this.#rooms.set(name, room)
    return room
  }

  /** Begins to sum what waits, once the sum before has ended. */
  async #sumWaiting(): Promise<void> {
    await this.#ended()
    this.#checkUsable()
    if (this.#waiting === undefined) return
    const { members, room } = this.#waiting
    this.#waiting = undefined
    const all = [...this.members.values()]
    this.#running = this.#change(async () => {
      await this.#sumLoose(all, members)
      room.rewind()
      this.#idle.push(room)
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
        const pairs = loose.map((member) => addendOf(this.plan, layer, member))
        const { name, in: inDim, out } = layer
        const isNew = grid === undefined
        return { name, in: inDim, out, loose, pairs, isNew, grid: grid ?? new BigInt64Array(inDim * out) }
      })
      await native().addToGrids(sums, this.jobs.threads ?? availableParallelism())
      for (const { name, grid, loose } of sums) {
        this.grids.set(name, grid)
        for (const member of loose) member.factors.delete(name)
        this.#rooms.get(name)?.empty()
        this.#rooms.delete(name)
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
        await addToGrid(layer, grid, [negative(addendOf(this.plan, layer, member, own))])
      })
      for (const layer of back) {
        this.grids.delete(layer.name)
        for (const [other, factors] of others) {
          const kept = factors.get(layer.name)
          if (kept !== undefined) other.factors.set(layer.name, this.#roomOf(layer).place(kept))
        }
      }
      this.members.delete(member.info.client)
    })
  }

  /** Takes in everything of another accumulator of the same plan, which is not used any more. */
  async merge(other: Accumulator): Promise<void> {
    await this.settle()
    await other.settle()
    checkFits(this.members.values(), other.sorted())
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
