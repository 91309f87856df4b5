import type { Adapter } from '../adapter/adapter.js'
import { loadAdapter } from '../adapter/folder.js'
import { continuation } from '../evaluate/continuation.js'
import type { TextEnd } from '../evaluate/continue-text.js'
import { generate } from '../evaluate/generate.js'
import { LossEvaluator } from '../evaluate/loss.js'
import { type Model, openModel } from '../model/open.js'
import { namedAdapter } from './adapters.js'
import {
  type GenerateRequest,
  type Likelihood,
  type RequestOptions,
  type Runtime,
  type RuntimeOptions,
  textOptions,
} from './runtime.js'
import { Turns } from './turns.js'

/** This package's own engine. The base is mapped once; an adapter is added beside it for the length of a request. */
export async function openNative(o: RuntimeOptions): Promise<Runtime> {
  const adapters = new Map<string, Adapter>()
  for (const [name, folder] of Object.entries(o.adapters ?? {})) adapters.set(name, await loadAdapter(folder))
  return new NativeRuntime(await openModel(o.model), adapters, o.threads)
}

class NativeRuntime implements Runtime {
  readonly kind = 'native'
  readonly #base: Model
  readonly #adapters: ReadonlyMap<string, Adapter>
  readonly #threads: number | undefined
  readonly #turns = new Turns()

  constructor(base: Model, adapters: ReadonlyMap<string, Adapter>, threads: number | undefined) {
    this.#base = base
    this.#adapters = adapters
    this.#threads = threads
  }

  async *generate(prompt: string, o: GenerateRequest = {}): AsyncGenerator<string, TextEnd> {
    using _ = await this.#turns.take()
    return yield* generate(this.#base, prompt, { ...textOptions(o), ...this.#job(o) })
  }

  async score(prompt: string, continuations: readonly string[], o: RequestOptions = {}): Promise<Likelihood[]> {
    using _ = await this.#turns.take()
    const { adapter, ...job } = this.#job(o)
    const examples = continuations.map((text, id) => continuation(this.#base, prompt, text, id))
    if (examples.length === 0) return []
    using evaluator = new LossEvaluator(this.#base, adapter, examples, job)
    const likelihoods: Likelihood[] = []
    await evaluator.sum(examples, o.signal, undefined, (_example, sum, tokens) => {
      likelihoods.push({ logLikelihood: -sum, tokens })
    })
    return likelihoods
  }

  async close(): Promise<void> {
    await this.#base.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #job(o: RequestOptions) {
    return { adapter: namedAdapter(this.#adapters, o.adapter), signal: o.signal, threads: this.#threads }
  }
}
