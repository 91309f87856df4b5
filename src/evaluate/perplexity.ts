/** Perplexity of a text longer than a model reads at once: windows that slide over it. */
import { type Example, UNTRAINED } from '../data/dataset.js'
import { OneroundError } from '../errors.js'
import type { Model } from '../model/open.js'
import { Clock } from '../train/job.js'
import { type LossSum, type Score, scoreOf } from '../train/score.js'
import { type EvaluateOptions, LossEvaluator } from './loss.js'
import { meanError } from './standard-error.js'

export interface WindowOptions extends EvaluateOptions {
  /** tokens that the model reads at once; default: 1024, or the model's own length where that is less */
  window?: number | undefined
  /** tokens from one window to the next, less than `window`; default: half of it */
  stride?: number | undefined
}

/**
 * Windows over ids: every token but the first is judged exactly once, and all but the first window's with at least
 * `window - stride` tokens before it.
 */
export function slidingWindows(ids: Int32Array, window: number, stride: number): Example[] {
  const examples: Example[] = []
  for (let begin = 0, judged = 1; judged < ids.length; begin += stride) {
    const end = Math.min(begin + window, ids.length)
    const own = ids.slice(begin, end)
    const labels = new Int32Array(own.length).fill(UNTRAINED)
    for (let target = judged; target < end; target++) labels[target - 1 - begin] = ids[target] as number
    examples.push({ ids: own, labels, id: examples.length, characters: 0 })
    judged = end
  }
  return examples
}

/**
 * Loss and perplexity of a text. Errors are those of windows as independent units.
 * @throws OneroundError ARGUMENT, MISMATCH (an adapter of another base), MEMORY, NUMERIC, ABORTED
 */
export async function slidingPerplexity(base: Model, ids: Int32Array, o: WindowOptions = {}): Promise<Score> {
  const window = o.window ?? Math.min(1024, base.spec.maxPositions)
  const stride = o.stride ?? Math.max(1, Math.floor(window / 2))
  check('window', window, 2, base.spec.maxPositions)
  check('stride', stride, 1, window - 1)
  if (ids.length < 2) {
    throw new OneroundError('ARGUMENT', 'There is nothing to judge.', {
      found: `a text of ${ids.length} tokens`,
      expected: 'at least 2',
      fix: 'Give more text.',
    })
  }
  const examples = slidingWindows(ids, window, stride)
  using evaluator = new LossEvaluator(base, o.adapter, examples, o)
  const total = examples.reduce((sum, example) => sum + example.ids.length, 0)
  const clock = new Clock()
  const tell = (done: number) =>
    o.onProgress?.({ phase: 'perplexity', done, total, secondsLeft: clock.secondsLeft(done, total) })
  const each: LossSum[] = []
  const score = scoreOf(await evaluator.sum(examples, o.signal, tell, (_, sum, tokens) => each.push({ sum, tokens })))
  const loss = meanError(each)
  return loss === undefined ? score : { ...score, standardError: { loss, perplexity: score.perplexity * loss } }
}

function check(name: string, value: number, least: number, most: number): void {
  if (Number.isInteger(value) && value >= least && value <= most) return
  throw new OneroundError('ARGUMENT', `The ${name} is not a usable number of tokens.`, {
    found: String(value),
    expected: `${least} to ${most}`,
    fix: `Give another ${name} (--${name}).`,
  })
}
