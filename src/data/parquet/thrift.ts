/**
 * A walk over one struct of Thrift's compact protocol (thrift-compact-protocol.md of Apache Thrift), before a library
 * parses it: lists hold as many elements as they say, numbers end, nesting is shallow. After it a parser's work and memory
 * are in proportion to the bytes.
 */

/** Parquet's own metadata nests eight deep. */
const MAX_DEPTH = 24

const TYPES = { stop: 0, true: 1, false: 2, byte: 3, i16: 4, i32: 5, i64: 6, double: 7, binary: 8, list: 9, struct: 12 }

/** @returns the offset behind the struct @throws Error with what is wrong, as a phrase */
export function walkStruct(bytes: Uint8Array, offset: number): number {
  const walk = new Walk(bytes, offset)
  walk.struct(0)
  return walk.at
}

class Walk {
  at: number
  readonly #bytes: Uint8Array

  constructor(bytes: Uint8Array, at: number) {
    this.#bytes = bytes
    this.at = at
  }

  struct(depth: number): void {
    if (depth > MAX_DEPTH) throw new Error(`structs nested more than ${MAX_DEPTH} deep`)
    for (;;) {
      const header = this.#byte()
      const type = header & 0x0f
      if (type === TYPES.stop) return
      if (header >> 4 === 0) this.#number(3)
      // a truth value lies in the header itself
      if (type !== TYPES.true && type !== TYPES.false) this.#element(type, depth)
    }
  }

  #element(type: number, depth: number): void {
    switch (type) {
      case TYPES.true:
      case TYPES.false:
      case TYPES.byte:
        this.#skip(1)
        return
      case TYPES.i16:
      case TYPES.i32:
        this.#number(5)
        return
      case TYPES.i64:
        this.#number(10)
        return
      case TYPES.double:
        this.#skip(8)
        return
      case TYPES.binary:
        this.#skip(this.#number(5))
        return
      case TYPES.list:
        this.#list(depth + 1)
        return
      case TYPES.struct:
        this.struct(depth + 1)
        return
      default:
        throw new Error(`a value of the unknown type ${type}`)
    }
  }

  #list(depth: number): void {
    if (depth > MAX_DEPTH) throw new Error(`lists nested more than ${MAX_DEPTH} deep`)
    const header = this.#byte()
    const count = header >> 4 === 15 ? this.#number(5) : header >> 4
    // every element takes a byte at least
    if (count > this.#bytes.length - this.at) throw new Error(`a list of ${count} elements`)
    for (let i = 0; i < count; i++) this.#element(header & 0x0f, depth)
  }

  #byte(): number {
    const byte = this.#bytes[this.at++]
    if (byte === undefined) throw new Error('an end in the middle of a struct')
    return byte
  }

  #skip(count: number): void {
    if (count > this.#bytes.length - this.at) throw new Error(`a value of ${count} bytes`)
    this.at += count
  }

  /** An unsigned number of at most `most` bytes; one of more than 32 bits is only passed over. */
  #number(most: number): number {
    let value = 0
    for (let i = 0; i < most; i++) {
      const byte = this.#byte()
      value += (byte & 0x7f) * 2 ** (7 * i)
      if (byte < 0x80) return value
    }
    throw new Error(`a number of more than ${most} bytes`)
  }
}
