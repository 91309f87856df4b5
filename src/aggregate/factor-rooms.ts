/**
 * Memory that an accumulator of sums owns. Factors that turn into a sum give theirs back at once, and those that only wait
 * for one use the same few blocks again and again: left to the garbage collector, both would pile up by hundreds of MB.
 */
import type { Layer } from '../adapter/adapter.js'
import type { Factors } from './accumulator.js'

/** Node 20 has it; the ES2023 types do not. */
interface ResizableBuffer extends ArrayBuffer {
  resize(bytes: number): void
}
interface Room {
  buffer: ResizableBuffer
  /** of its bytes */
  used: number
}
const Resizable = ArrayBuffer as unknown as new (bytes: number, o: { maxByteLength: number }) => ResizableBuffer

export class FactorRooms {
  readonly #rooms = new Map<string, Room>()
  readonly #blocks: Float32Array[] = []

  /** A copy of one client's factors of a layer, there until `release`. The room is for the factors that a dense sum outweighs. */
  place(layer: Layer, { a, b }: Factors): Factors {
    const { name, in: inDim, out } = layer
    const most = 4 * inDim * out
    const room = this.#rooms.get(name) ?? { buffer: new Resizable(0, { maxByteLength: most }), used: 0 }
    this.#rooms.set(name, room)
    const { buffer, used } = room
    const middle = used + a.byteLength
    const end = middle + b.byteLength
    // Those of clients that were taken out leave holes.
    if (end > most) return { a: a.slice(), b: b.slice() }
    // Bytes that were not written yet take no memory.
    if (end > buffer.byteLength) buffer.resize(Math.min(most, 2 * end))
    room.used = end
    const copy = { a: new Float32Array(buffer, used, a.length), b: new Float32Array(buffer, middle, b.length) }
    copy.a.set(a)
    copy.b.set(b)
    return copy
  }

  /** Frees what was placed for a layer. */
  release(layer: string): void {
    this.#rooms.get(layer)?.buffer.resize(0)
    this.#rooms.delete(layer)
  }

  /** Room for so many numbers, whatever is in it. */
  block(count: number): Float32Array {
    const known = this.#blocks.findIndex((block) => block.length === count)
    return this.#blocks.splice(known, known < 0 ? 0 : 1)[0] ?? new Float32Array(count)
  }

  /** Blocks that nobody reads any more; those of another size than the newest are dropped. */
  giveBack(blocks: readonly Float32Array[]): void {
    this.#blocks.push(...blocks)
    const { length } = this.#blocks.at(-1) ?? []
    this.#blocks.splice(0, this.#blocks.length, ...this.#blocks.filter((block) => block.length === length))
  }
}
