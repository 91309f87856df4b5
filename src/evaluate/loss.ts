import type { Adapter } from '../adapter/adapter.js'
import type { Dataset, Example } from '../data/dataset.js'
import { OneroundError } from '../errors.js'
import type { Model } from '../model/open.js'
import { baseTensors } from '../model/tensors.js'
import type { NativeSession } from '../native/binding/session.js'
import { openAdapted } from '../train/adapted.js'
import { computeOf } from '../train/compute.js'
import { aborted, Clock, checkAborted, type JobOptions, threadsOf } from '../train/job.js'
import type { MemoryNotice } from '../train/memory.js'
import { checkFinite, type LossSum, type Score, scoreOf } from '../train/score.js'
import type { TrainOptions } from '../update/plan.js'
import { nextPass, treeBatch, treeShape } from './prefix-tree.js'
import { meanError } from './standard-error.js'

export type { Score } from '../train/score.js'

export interface EvaluateOptions extends JobOptions {
  /** added to the base; without it the base itself is judged */
  adapter?: Adapter | undefined
  /** arithmetic of losses: default f32; bf16 products are faster and move a token's loss by about 1e-3 */
  compute?: TrainOptions['compute'] | undefined
  /** told once, before anything is allocated */
  onMemory?: ((notice: MemoryNotice) => void) | undefined
}

/** Examples that one pass may read at once; more rows make larger matrix tiles and cost memory. */
const examplesPerPass = 8

/** A base with one adapter, held open to judge several texts. */
export class LossEvaluator implements Disposable {
  readonly #session: NativeSession
  readonly #rowsPerPass: number

  /** `examples`: all that will be judged; the longest sizes the session */
  constructor(base: Model, adapter: Adapter | undefined, examples: readonly Example[], o: EvaluateOptions) {
    checkAdapter(base, adapter)
    const shape = treeShape(examples, examplesPerPass)
    this.#rowsPerPass = shape.rowsPerPass
    const options = { threads: threadsOf(o), compute: computeOf(o.compute ?? 'f32'), ...shape }
    this.#session = openAdapted(base, adapter, options, { onMemory: o.onMemory })
  }

  /**
   * Summed loss over the trained tokens of texts, added in double in the order given. What neighbours share before their
   * first trained token is computed once (prefix-tree.ts). Each text's own sum has the same bits however it is batched.
   * @param onRows tokens of the texts so far, shared ones counted for each
   * @param onLoss each text's own sum, nats, in order
   */
  async sum(
    examples: readonly Example[],
    signal?: AbortSignal,
    onRows?: (rows: number) => void,
    onLoss?: (index: number, loss: number, tokens: number) => void,
  ): Promise<LossSum> {
    const total: LossSum = { sum: 0, tokens: 0 }
    const stop = () => this.#session.abort()
    signal?.addEventListener('abort', stop)
    try {
      let rows = 0
      for (let first = 0; first < examples.length; ) {
        checkAborted(signal)
        const { nodes, end } = nextPass(examples, first, this.#rowsPerPass)
        const own = Array.from({ length: end - first }, (): LossSum => ({ sum: 0, tokens: 0 }))
        if (nodes.length > 0) {
          const { losses, tokens } = await this.#session.evaluate(treeBatch(nodes))
          for (const [i, { example }] of nodes.entries())
            if (example !== undefined) own[example - first] = { sum: losses[i] ?? Number.NaN, tokens: tokens[i] ?? 0 }
        }
        for (const [i, { sum, tokens }] of own.entries()) {
          total.sum += sum
          total.tokens += tokens
          onLoss?.(first + i, sum, tokens)
          rows += examples[first + i]?.ids.length ?? 0
        }
        onRows?.(rows)
        first = end
      }
    } catch (error) {
      if (signal?.aborted) throw aborted(error)
      throw error
    } finally {
      signal?.removeEventListener('abort', stop)
    }
    checkFinite(total.sum)
    return total
  }

  [Symbol.dispose](): void {
    this.#session.close()
  }
}

/**
 * Loss and perplexity of a base, or of a base with an adapter, over all trained tokens of a dataset.
 * The losses are nats a token; they depend on the tokenizer and do not compare across base models.
 * @throws OneroundError MISMATCH (an adapter of another base), MEMORY, NUMERIC, ABORTED
 */
export async function evaluateLoss(base: Model, data: Dataset, o: EvaluateOptions = {}): Promise<Score> {
  if (data.tokens === 0) {
    throw new OneroundError('ARGUMENT', 'There is nothing to judge.', {
      found: `${data.count} examples without a trained token`,
      expected: 'at least one trained token',
      fix: 'Give more data, or raise the cutoff.',
    })
  }
  using evaluator = new LossEvaluator(base, o.adapter, data.examples, o)
  const total = data.examples.reduce((sum, example) => sum + example.ids.length, 0)
  const clock = new Clock()
  const tell = (done: number) =>
    o.onProgress?.({ phase: 'evaluate', done, total, secondsLeft: clock.secondsLeft(done, total) })
  const each: LossSum[] = []
  const score = scoreOf(
    await evaluator.sum(data.examples, o.signal, tell, (_, sum, tokens) => each.push({ sum, tokens })),
  )
  const loss = meanError(each)
  // A small error of a logarithm is a relative error of the number.
  return loss === undefined ? score : { ...score, standardError: { loss, perplexity: score.perplexity * loss } }
}

/** The addon takes an adapter's layers and tensors as they are: names and sizes are checked here. */
export function checkAdapter(base: Model, adapter: Adapter | undefined): void {
  const layers = new Map(base.spec.linearLayers.map((layer) => [layer.name, [layer.out, layer.in]]))
  for (const { name, out, in: inDim } of adapter?.layers ?? []) checkPart(name, [out, inDim], layers.get(name))
  if (adapter === undefined || adapter.dense.length === 0) return
  const tensors = new Map(baseTensors(base.spec).map(({ name, shape }) => [name, shape]))
  for (const { name, shape } of adapter.dense) checkPart(name, shape, tensors.get(name))
}

function checkPart(name: string, found: readonly number[], own: readonly number[] | undefined): void {
  if (own !== undefined && own.length === found.length && own.every((size, i) => size === found[i])) return
  throw new OneroundError('MISMATCH', `The adapter does not fit this base at '${name}'.`, {
    found: `[${found.join(', ')}]`,
    expected: own ? `[${own.join(', ')}]` : 'a linear layer or tensor of the base',
    fix: 'Give the base that the adapter was made for.',
  })
}
