import { OneroundError } from '../errors.js'
import { continuation } from '../evaluate/continuation.js'
import { continueText, endOf, type NextToken, type TextEnd } from '../evaluate/continue-text.js'
import { promptTokens } from '../evaluate/generate.js'
import { type Model, openModel } from '../model/open.js'
import { missingPackage, namedAdapter } from './adapters.js'
import {
  type GenerateRequest,
  type Likelihood,
  type RequestOptions,
  type Runtime,
  type RuntimeOptions,
  textOptions,
} from './runtime.js'
import { Turns } from './turns.js'

/** What is used of node-llama-cpp 3: its types are not needed to build this package. */
type Input = number | [token: number, options: { generateNext: { logits?: true; probabilities?: true } }]
interface Output {
  next: { logits?: ReadonlyMap<number, number>; probabilities?: ReadonlyMap<number, number> }
}
interface LlamaSequence {
  clearHistory(): Promise<void>
  controlledEvaluate(input: Input[]): Promise<(Output | undefined)[]>
}
interface LlamaModel {
  createContext(o: { contextSize: number; lora?: string; threads?: number }): Promise<{ getSequence(): LlamaSequence }>
  dispose(): Promise<void>
}
interface Library {
  LlamaLogLevel: { error: string }
  getLlama(o: { gpu: false; build: 'never'; logLevel: string }): Promise<{
    loadModel(o: { modelPath: string }): Promise<LlamaModel>
  }>
}
const PACKAGE = 'node-llama-cpp'

/** tokens of a context, where the model allows as many */
const CONTEXT = 2048
/** the base alone, among the contexts by adapter */
const ALONE = ''

/** llama.cpp through node-llama-cpp, on the CPU and with the binaries that the package brings: nothing is built or fetched. */
export async function openLlamaCpp(o: RuntimeOptions): Promise<Runtime> {
  if (!o.model.endsWith('.gguf')) {
    throw new OneroundError('UNSUPPORTED', `${o.model} is not a model that llama.cpp opens.`, {
      found: o.model,
      expected: 'a .gguf file',
      fix: 'Convert it first: oneround convert --to gguf.',
    })
  }
  const model = await openModel(o.model)
  let library: Library
  try {
    library = (await import(PACKAGE)) as Library
  } catch (cause) {
    throw missingPackage(PACKAGE, cause)
  }
  const llama = await library.getLlama({ gpu: false, build: 'never', logLevel: library.LlamaLogLevel.error })
  const loaded = await llama.loadModel({ modelPath: o.model })
  return new LlamaCppRuntime(model, loaded, new Map(Object.entries(o.adapters ?? {})), o.threads)
}

class LlamaCppRuntime implements Runtime {
  readonly kind = 'llama.cpp'
  /** for tokenizer and special tokens: the same text has the same tokens in every runtime */
  readonly #base: Model
  readonly #model: LlamaModel
  readonly #adapters: ReadonlyMap<string, string>
  readonly #threads: number | undefined
  readonly #sequences = new Map<string, LlamaSequence>()
  readonly #turns = new Turns()

  constructor(base: Model, model: LlamaModel, adapters: ReadonlyMap<string, string>, threads: number | undefined) {
    this.#base = base
    this.#model = model
    this.#adapters = adapters
    this.#threads = threads
  }

  get #capacity(): number {
    return Math.min(CONTEXT, this.#base.spec.maxPositions)
  }

  async *generate(prompt: string, o: GenerateRequest = {}): AsyncGenerator<string, TextEnd> {
    using _ = await this.#turns.take()
    const sequence = await this.#sequence(o.adapter)
    let stopped = false
    const take = async (ids: readonly number[]) => {
      if (stopped) throw new OneroundError('ABORTED', 'The request was stopped.', { fix: 'Ask again.' })
      return this.#logits(sequence, ids)
    }
    const engine: NextToken = {
      prefill: async (ids) => {
        await sequence.clearHistory()
        return take(Array.from(ids))
      },
      next: (id) => take([id]),
      abort: () => {
        stopped = true
      },
    }
    const options = { ...textOptions(o), capacity: this.#capacity, ends: endOf(this.#base) }
    return yield* continueText(engine, this.#base.tokenizer, promptTokens(this.#base, prompt), options, o.signal)
  }

  async score(prompt: string, continuations: readonly string[], o: RequestOptions = {}): Promise<Likelihood[]> {
    using _ = await this.#turns.take()
    const sequence = await this.#sequence(o.adapter)
    const likelihoods: Likelihood[] = []
    for (const [id, text] of continuations.entries()) {
      o.signal?.throwIfAborted()
      const { ids, labels } = continuation(this.#base, prompt, text, id)
      await sequence.clearHistory()
      const results = await sequence.controlledEvaluate(
        Array.from(ids.subarray(0, -1), (token, place) =>
          (labels[place] as number) < 0 ? token : [token, { generateNext: { probabilities: true } }],
        ),
      )
      let logLikelihood = 0
      let tokens = 0
      for (const [place, target] of labels.entries()) {
        if (target < 0) continue
        tokens++
        logLikelihood += Math.log(results[place]?.next.probabilities?.get(target) ?? Number.NaN)
      }
      likelihoods.push({ logLikelihood, tokens })
    }
    return likelihoods
  }

  async close(): Promise<void> {
    await this.#model.dispose()
    await this.#base.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** The logits [vocabulary] after the last of some tokens. */
  async #logits(sequence: LlamaSequence, ids: readonly number[]): Promise<Float32Array> {
    const input: Input[] = [...ids.slice(0, -1), [ids.at(-1) as number, { generateNext: { logits: true } }]]
    const results = await sequence.controlledEvaluate(input)
    const logits = new Float32Array(this.#base.spec.shape.vocabulary).fill(Number.NEGATIVE_INFINITY)
    for (const [token, logit] of results[ids.length - 1]?.next.logits ?? []) logits[token] = logit
    return logits
  }

  /** The context of an adapter, made when it is first asked for. */
  async #sequence(adapter: string | undefined): Promise<LlamaSequence> {
    const lora = namedAdapter(this.#adapters, adapter)
    const kept = this.#sequences.get(adapter ?? ALONE)
    if (kept !== undefined) return kept
    const context = await this.#model.createContext({
      contextSize: this.#capacity,
      ...(lora === undefined ? {} : { lora }),
      ...(this.#threads === undefined ? {} : { threads: this.#threads }),
    })
    const sequence = context.getSequence()
    this.#sequences.set(adapter ?? ALONE, sequence)
    return sequence
  }
}
