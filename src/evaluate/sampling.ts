/** From the logits of the next token to the token: pure functions, the same on every machine. */
import { Draws, STREAM } from '../data/random.js'
import { OneroundError } from '../errors.js'

export interface SamplingOptions {
  /** 0: always the most likely token */
  temperature: number
  /** only the k most likely; 0: all */
  topK: number
  /** only the most likely that together have this probability; 1: all */
  topP: number
  /** only those with at least this share of the most likely one's probability; 0: all */
  minP: number
  /** 0 to 2^53 - 1 */
  seed: number
}

/** The most likely token; of equal ones the first. */
export function argmax(logits: Float32Array): number {
  let best = 0
  for (let id = 1; id < logits.length; id++) if ((logits[id] as number) > (logits[best] as number)) best = id
  return best
}

/**
 * The tokens that may be drawn and their probabilities, by id. Temperature comes first, then top-k, top-p among what that
 * leaves, and min-p; the order of transformers. At least one is left. Of equally likely ones at the edge, lower ids stay.
 */
export function candidates(logits: Float32Array, o: SamplingOptions): { ids: Int32Array; probabilities: Float64Array } {
  const most = logits[argmax(logits)] as number
  const weights = Float64Array.from(logits, (logit) => Math.exp((logit - most) / o.temperature))
  const falling = weights.slice().sort().reverse()
  let count = o.topK > 0 ? Math.min(o.topK, falling.length) : falling.length
  if (o.topP < 1) {
    const wanted = o.topP * falling.subarray(0, count).reduce((sum, weight) => sum + weight, 0)
    let reached = 0
    let kept = 0
    while (kept < count && reached < wanted) reached += falling[kept++] as number
    count = kept
  }
  // the most likely token's weight is 1
  if (o.minP > 0) while (count > 1 && (falling[count - 1] as number) < o.minP) count--
  const edge = falling[Math.max(1, count) - 1] as number
  let ties = Math.max(1, count) - falling.indexOf(edge)
  const ids: number[] = []
  weights.forEach((weight, id) => {
    if (weight > edge || (weight === edge && ties-- > 0)) ids.push(id)
  })
  const total = ids.reduce((sum, id) => sum + (weights[id] as number), 0)
  return { ids: Int32Array.from(ids), probabilities: Float64Array.from(ids, (id) => (weights[id] as number) / total) }
}

/**
 * One token. The draw depends on seed and position alone, so that any token of a text can be replayed.
 * @param position tokens generated before
 * @throws OneroundError NUMERIC
 */
export function sample(logits: Float32Array, o: SamplingOptions, position: number): number {
  const best = argmax(logits)
  if (!Number.isFinite(logits[best] as number) || logits.some(Number.isNaN)) {
    throw new OneroundError('NUMERIC', 'The scores of the next token are not finite.', {
      expected: 'finite numbers',
      fix: 'Look at the adapter or the base: one of its weights is not finite or far too large.',
    })
  }
  if (o.temperature === 0) return best
  const { ids, probabilities } = candidates(logits, o)
  let left = new Draws(o.seed, STREAM.generate, position).uniform()
  for (let i = 0; i < ids.length; i++) {
    left -= probabilities[i] as number
    if (left < 0) return ids[i] as number
  }
  // only rounding leads here
  return ids.at(-1) as number
}

/** @throws OneroundError ARGUMENT */
export function checkSampling(o: SamplingOptions): void {
  const rules: [string, number, boolean, string][] = [
    ['temperature', o.temperature, o.temperature >= 0 && o.temperature <= 100, '0 to 100'],
    ['topK', o.topK, Number.isSafeInteger(o.topK) && o.topK >= 0, 'a whole number from 0'],
    ['topP', o.topP, o.topP > 0 && o.topP <= 1, 'more than 0, at most 1'],
    ['minP', o.minP, o.minP >= 0 && o.minP <= 1, '0 to 1'],
    ['seed', o.seed, Number.isSafeInteger(o.seed) && o.seed >= 0, 'a whole number from 0'],
  ]
  for (const [name, value, holds, expected] of rules) {
    if (holds) continue
    throw new OneroundError('ARGUMENT', `${name} cannot be used.`, {
      found: String(value),
      expected,
      fix: `Give another ${name}, or leave it out.`,
    })
  }
}
