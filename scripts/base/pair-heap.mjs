// A binary max-heap of (pair, count) with lazy deletion: a pair is pushed again whenever its count changes, and an entry
// whose count is no longer the pair's is dropped when it reaches the top.

export class PairHeap {
  /** @type {number[]} */ #keys = []
  /** @type {number[]} */ #counts = []

  /** @param {number} key @param {number} count */
  push(key, count) {
    let at = this.#keys.push(key) - 1
    this.#counts.push(count)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!this.#before(at, parent)) break
      this.#swap(at, parent)
      at = parent
    }
  }

  /**
   * The entry with the largest count (then the smallest key) that still agrees with `current`.
   * @param {Map<number, number>} current
   * @returns {{ key: number, count: number } | undefined}
   */
  popValid(current) {
    while (this.#keys.length > 0) {
      const key = this.#keys[0]
      const count = this.#counts[0]
      this.#removeTop()
      if (current.get(key) === count) return { key, count }
    }
    return undefined
  }

  #removeTop() {
    const last = this.#keys.length - 1
    this.#swap(0, last)
    this.#keys.pop()
    this.#counts.pop()
    for (let at = 0; ; ) {
      let first = at
      for (const child of [2 * at + 1, 2 * at + 2]) {
        if (child < last && this.#before(child, first)) first = child
      }
      if (first === at) return
      this.#swap(at, first)
      at = first
    }
  }

  /** @param {number} a @param {number} b */
  #before(a, b) {
    return this.#counts[a] > this.#counts[b] || (this.#counts[a] === this.#counts[b] && this.#keys[a] < this.#keys[b])
  }

  /** @param {number} a @param {number} b */
  #swap(a, b) {
    const key = this.#keys[a]
    const count = this.#counts[a]
    this.#keys[a] = this.#keys[b]
    this.#counts[a] = this.#counts[b]
    this.#keys[b] = key
    this.#counts[b] = count
  }
}
