import type { Adapter } from '../adapter/adapter.js'
import type { Dataset, Example } from '../data/dataset.js'
import { LossEvaluator, type Score } from '../evaluate/loss.js'
import type { Model } from '../model/open.js'
import { Clock, type JobOptions } from '../train/job.js'
import { type LossSum, scoreOf } from '../train/score.js'

/** What an arm is worth: on each client's held-out part, and over all their tokens together. */
interface Judgement {
  overall: Score
  perClient: Record<string, Score>
  /** what the scores are made of: comparisons of two arms are paired by example */
  items: Record<string, ItemLosses>
}

/** A client's held-out examples, in their order. */
export interface ItemLosses {
  /** summed over each example's trained tokens, nats */
  losses: number[]
  tokens: number[]
}

/** Judges one adapter (or the base) on every client's held-out part. */
export async function judge(
  base: Model,
  adapter: Adapter | undefined,
  heldOut: ReadonlyMap<string, Dataset>,
  o: JobOptions,
): Promise<Judgement> {
  const all: Example[] = [...heldOut.values()].flatMap((part) => [...part.examples])
  const total = all.reduce((sum, example) => sum + example.ids.length, 0)
  using evaluator = new LossEvaluator(base, adapter, all, o)
  const clock = new Clock()
  const whole: LossSum = { sum: 0, tokens: 0 }
  const perClient: [string, Score][] = []
  const items: [string, ItemLosses][] = []
  let before = 0
  for (const [client, part] of heldOut) {
    const each: ItemLosses = { losses: [], tokens: [] }
    const tell = (rows: number) => {
      const done = before + rows
      o.onProgress?.({ phase: 'evaluate', done, total, secondsLeft: clock.secondsLeft(done, total) })
    }
    const sum = await evaluator.sum(part.examples, o.signal, tell, (_, loss, tokens) => {
      each.losses.push(loss)
      each.tokens.push(tokens)
    })
    items.push([client, each])
    before += part.examples.reduce((rows, example) => rows + example.ids.length, 0)
    whole.sum += sum.sum
    whole.tokens += sum.tokens
    perClient.push([client, scoreOf(sum)])
  }
  return { overall: scoreOf(whole), perClient: Object.fromEntries(perClient), items: Object.fromEntries(items) }
}
