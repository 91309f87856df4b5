// N-gram models as yardsticks for the embedded base. Both kinds are proper distributions over the whole vocabulary:
// - interpolated: modified Kneser-Ney with three discounts a level (Chen and Goodman 1998, section 3),
// - back-off: Katz's scheme (1987) with the same discounts on plain counts instead of Good-Turing's.
// N-grams are keys in base `vocabulary`, sorted, so a context's continuations are one run and lookups are binary searches.

/**
 * @typedef {object} Level   all n-grams of one length
 * @property {Float64Array} keys        sorted; context * vocabulary + word
 * @property {Float64Array} counts      plain or continuation counts
 * @property {Float64Array} contexts    sorted, distinct
 * @property {Int32Array} starts        run of context i in keys: starts[i] to starts[i + 1]
 * @property {Float64Array} totals      sum of the run's counts
 * @property {Float64Array} held        what the discounts take from the run
 * @property {Float64Array} backOff     weight of the shorter context for unseen words; NaN until first asked for
 * @property {readonly number[]} discounts   for a count of 1, 2, 3 or more
 */

/** Add-one unigram. @param {Int32Array} stream @param {number} vocabulary */
export function trainUnigram(stream, vocabulary) {
  const counts = new Float64Array(vocabulary).fill(1)
  // the first token opens the stream and is never predicted
  for (let at = 1; at < stream.length; at++) counts[stream[at]]++
  const total = stream.length - 1 + vocabulary
  return {
    /** @param {Int32Array} other @param {number} at */
    probability: (other, at) => counts[other[at]] / total,
  }
}

/**
 * @param {Int32Array} stream
 * @param {{ vocabulary: number, separator: number, order: number, kind: 'interpolated' | 'back-off' }} options
 *   order: words in an n-gram; vocabulary ** order must stay below 2 ** 53. What lies before a separator is forgotten.
 */
export function trainNgram(stream, { vocabulary, separator, order, kind }) {
  if (order < 1 || vocabulary ** order >= 2 ** 53) throw new RangeError(`order ${order} is out of range`)

  /** The `length` tokens before `at`, as a key; a separator hides all that precedes it. */
  function contextKey(/** @type {Int32Array} */ ids, /** @type {number} */ at, /** @type {number} */ length) {
    let key = 0
    let place = 1
    let hidden = false
    for (let back = 1; back <= length; back++) {
      const id = hidden || at - back < 0 ? separator : ids[at - back]
      hidden ||= id === separator
      key += id * place
      place *= vocabulary
    }
    return key
  }

  /** @type {Level[]} levels[n - 1] holds n-grams */
  const levels = new Array(order)
  for (let n = order; n >= 1; n--) {
    const continuation = kind === 'interpolated' && n < order
    let keys
    if (continuation) {
      // one entry for each distinct longer n-gram: its number of entries is the count of distinct words before it
      keys = levels[n].keys.map((key) => key % vocabulary ** n)
    } else {
      keys = new Float64Array(stream.length - 1)
      for (let at = 1; at < stream.length; at++) keys[at - 1] = contextKey(stream, at, n - 1) * vocabulary + stream[at]
    }
    levels[n - 1] = makeLevel(keys, vocabulary)
  }

  /**
   * P(word | context of n - 1 words)
   * @param {number} n @param {number} context @param {number} word
   * @returns {number}
   */
  function probability(n, context, word) {
    if (n === 0) return 1 / vocabulary
    const level = levels[n - 1]
    const shorter = n < 2 ? 0 : context % vocabulary ** (n - 2)
    const run = find(level.contexts, context)
    if (run < 0) return probability(n - 1, shorter, word)
    const entry = find(level.keys, context * vocabulary + word)
    const count = entry < 0 ? 0 : level.counts[entry]
    // the unigram is interpolated in both kinds: a word that was never seen must keep some probability
    if (kind === 'interpolated' || n === 1) {
      const share = level.held[run] / level.totals[run]
      return (count - discount(level, count)) / level.totals[run] + share * probability(n - 1, shorter, word)
    }
    // nothing is left to back off to
    if (level.starts[run + 1] - level.starts[run] === vocabulary) return count / level.totals[run]
    if (count > 0) return (count - discount(level, count)) / level.totals[run]
    if (Number.isNaN(level.backOff[run])) {
      let seen = 0
      for (let i = level.starts[run]; i < level.starts[run + 1]; i++) {
        seen += probability(n - 1, shorter, level.keys[i] % vocabulary)
      }
      level.backOff[run] = level.held[run] / level.totals[run] / (1 - seen)
    }
    return level.backOff[run] * probability(n - 1, shorter, word)
  }

  return {
    /** @param {Int32Array} other @param {number} at */
    probability: (other, at) => probability(order, contextKey(other, at, order - 1), other[at]),
  }
}

/** @param {Level} level @param {number} count */
function discount(level, count) {
  return count === 0 ? 0 : level.discounts[Math.min(count, 3) - 1]
}

/** @param {Float64Array} occurrences @param {number} vocabulary @returns {Level} */
function makeLevel(occurrences, vocabulary) {
  occurrences.sort()
  let distinct = 0
  const keys = new Float64Array(occurrences.length)
  const counts = new Float64Array(occurrences.length)
  for (const key of occurrences) {
    if (distinct === 0 || keys[distinct - 1] !== key) keys[distinct++] = key
    counts[distinct - 1]++
  }
  const contexts = []
  const starts = []
  for (let i = 0; i < distinct; i++) {
    const context = Math.floor(keys[i] / vocabulary)
    if (contexts.length === 0 || contexts[contexts.length - 1] !== context) {
      contexts.push(context)
      starts.push(i)
    }
  }
  starts.push(distinct)
  const level = {
    keys: keys.slice(0, distinct),
    counts: counts.slice(0, distinct),
    contexts: Float64Array.from(contexts),
    starts: Int32Array.from(starts),
    totals: new Float64Array(contexts.length),
    held: new Float64Array(contexts.length),
    backOff: new Float64Array(contexts.length).fill(Number.NaN),
    discounts: discounts(counts.subarray(0, distinct)),
  }
  for (let run = 0; run < contexts.length; run++) {
    for (let i = starts[run]; i < starts[run + 1]; i++) {
      level.totals[run] += level.counts[i]
      level.held[run] += discount(level, level.counts[i])
    }
  }
  return level
}

/**
 * Chen and Goodman's D1, D2, D3+ from how many n-grams were seen once, twice, three and four times. Where a small
 * corpus leaves one of these at zero the estimate does not exist, and 0.5 is taken.
 * @param {Float64Array} counts
 */
function discounts(counts) {
  const seen = [0, 0, 0, 0, 0]
  for (const count of counts) if (count <= 4) seen[count]++
  const y = seen[1] / (seen[1] + 2 * seen[2])
  return [1, 2, 3].map((k) => {
    const d = k - ((k + 1) * y * seen[k + 1]) / seen[k]
    return Number.isFinite(d) && d > 0 && d < k ? d : 0.5
  })
}

/** Index of `key` in a sorted array, or -1. @param {Float64Array} sorted @param {number} key */
function find(sorted, key) {
  let low = 0
  let high = sorted.length - 1
  while (low <= high) {
    const middle = (low + high) >> 1
    if (sorted[middle] === key) return middle
    if (sorted[middle] < key) low = middle + 1
    else high = middle - 1
  }
  return -1
}
