import { OneroundError } from '../errors.js'

/** Thrown inside the reader where the file goes on behind the window that was read; never leaves gguf.ts. */
export class WindowTooSmall extends Error {}

export function malformedGguf(source: string, found: string, expected: string): OneroundError {
  return new OneroundError('MALFORMED', `${source} is not a sound GGUF file`, {
    found,
    expected,
    fix: 'Download or write the file again.',
  })
}

/**
 * Reads a GGUF header from a window of its file. Every length is compared with what is left of the file before
 * anything is read or allocated.
 */
export class GgufCursor {
  readonly #bytes: Buffer
  readonly #fileBytes: number
  /** most bytes that a header may have */
  readonly #limit: number
  readonly source: string
  at = 0

  constructor(window: Uint8Array, fileBytes: number, limit: number, source: string) {
    this.#bytes = Buffer.from(window.buffer, window.byteOffset, window.length)
    this.#fileBytes = fileBytes
    this.#limit = limit
    this.source = source
  }

  /** Makes sure that `count` things of at least `size` bytes can follow. */
  expect(count: number, size: number, what: string): void {
    const end = this.at + count * size
    if (end > this.#fileBytes) {
      throw malformedGguf(this.source, `${what} up to byte ${end} or further`, `an end before ${this.#fileBytes}`)
    }
    if (end > this.#limit) {
      throw malformedGguf(this.source, `a header of more than ${end} bytes`, `at most ${this.#limit} bytes`)
    }
  }

  /** Offset of the next `length` bytes, which are then behind the cursor. */
  #take(length: number, what: string): number {
    this.expect(1, length, what)
    const start = this.at
    if (start + length > this.#bytes.length) throw new WindowTooSmall()
    this.at = start + length
    return start
  }

  u32(what: string): number {
    return this.#bytes.readUInt32LE(this.#take(4, what))
  }

  u64(what: string): bigint {
    return this.#bytes.readBigUInt64LE(this.#take(8, what))
  }

  /** a count or an offset: a u64 that a double holds exactly */
  size(what: string): number {
    const value = this.u64(what)
    if (value > BigInt(Number.MAX_SAFE_INTEGER))
      throw malformedGguf(this.source, `${what} of ${value}`, 'a sane number')
    return Number(value)
  }

  text(what: string, limit: number): string {
    const length = this.size(`the length of ${what}`)
    if (length > limit) throw malformedGguf(this.source, `${what} of ${length} bytes`, `at most ${limit} bytes`)
    const start = this.#take(length, what)
    const text = this.#bytes.toString('utf8', start, this.at)
    // U+FFFD is what the decoder puts where bytes are not UTF-8; only then is the slower, exact check needed
    if (text.includes('\uFFFD') && !Buffer.from(text, 'utf8').equals(this.#bytes.subarray(start, this.at))) {
      throw malformedGguf(this.source, `${what} that is not UTF-8`, 'UTF-8')
    }
    return text
  }

  /** A copy of the next bytes, in a buffer of its own and so aligned for any typed array. */
  copy(length: number, what: string): ArrayBuffer {
    const start = this.#take(length, what)
    return Uint8Array.from(this.#bytes.subarray(start, this.at)).buffer
  }
}
