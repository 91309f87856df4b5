import type { Factors } from './member.js'

/** Node 20 has it; the ES2023 types do not. */
interface ResizableBuffer extends ArrayBuffer {
  resize(bytes: number): void
}
const Resizable = ArrayBuffer as unknown as new (bytes: number, o: { maxByteLength: number }) => ResizableBuffer

/**
 * Memory for factors that an accumulator of sums owns. What turns into a sum gives its memory back at once: left to the
 * garbage collector, it would pile up by hundreds of MB.
 */
export class FactorRoom {
  readonly #buffer: ResizableBuffer
  #used = 0

  /** @param most bytes that it may hold; it takes only what was placed */
  constructor(readonly most: number) {
    this.#buffer = new Resizable(0, { maxByteLength: most })
  }

  /** of its bytes */
  get used(): number {
    return this.#used
  }

  /** A copy, there until the room is emptied; where the room is full, one beside it. */
  place({ a, b }: Factors): Factors {
    const middle = this.#used + a.byteLength
    const end = middle + b.byteLength
    // Those of clients that were taken out leave holes.
    if (end > this.most) return { a: a.slice(), b: b.slice() }
    // Bytes that were not written yet take no memory.
    if (end > this.#buffer.byteLength) this.#buffer.resize(Math.min(this.most, 2 * end))
    const copy = {
      a: new Float32Array(this.#buffer, this.#used, a.length),
      b: new Float32Array(this.#buffer, middle, b.length),
    }
    this.#used = end
    copy.a.set(a)
    copy.b.set(b)
    return copy
  }

  /** Gives its memory back. */
  empty(): void {
    this.#buffer.resize(0)
    this.#used = 0
  }

  /** Empty too, but it keeps as much memory as was used: what is placed next will need about that. */
  rewind(): void {
    this.#buffer.resize(this.#used)
    this.#used = 0
  }
}
