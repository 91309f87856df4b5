import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { z } from 'zod'
import type { Adapter } from '../adapter/adapter.js'
import { loadAdapter } from '../adapter/folder.js'
import { FACTS_FILE, GRAPH_FILE } from '../adapter/onnx/export.js'
import { OneroundError } from '../errors.js'
import { continuation } from '../evaluate/continuation.js'
import { continueText, endOf, type NextToken, type TextEnd, type TextModel } from '../evaluate/continue-text.js'
import { promptTokens } from '../evaluate/generate.js'
import { workerFile } from '../run/worker-file.js'
import { parseJsonObject, readBoundedFile } from '../text/bounded-file.js'
import { noTokenizer, tokenizerOfFolder } from '../text/tokenizer-files.js'
import { namedAdapter } from './adapters.js'
import type { Call, GraphLayer, Reply, WorkerStart } from './onnx-messages.js'
import {
  type GenerateRequest,
  type Likelihood,
  type RequestOptions,
  type Runtime,
  type RuntimeOptions,
  textOptions,
} from './runtime.js'
import { Turns } from './turns.js'

const FACTS_LIMIT = 1 << 16

/** onnxruntime-node in a worker thread. The folder holds the graph, its weights and the tokenizer. */
export async function openOnnx(o: RuntimeOptions): Promise<Runtime> {
  const model = await textModelOf(o.model)
  const adapters = new Map<string, GraphLayer[]>()
  for (const [name, folder] of Object.entries(o.adapters ?? {}))
    adapters.set(name, graphLayers(await loadAdapter(folder), name))
  const graph = join(o.model, GRAPH_FILE)
  return new OnnxRuntime(
    model,
    adapters,
    await OnnxThread.start({ graph, threads: o.threads ?? availableParallelism(), adapters }),
  )
}

const facts = z.object({
  format: z.literal('oneround-onnx'),
  version: z.literal(1),
  bosToken: z.int().min(0).nullable(),
  eosToken: z.int().min(0).nullable(),
  maxPositions: z.int().min(1),
})

/** Tokenizer and special tokens of an exported folder. */
async function textModelOf(folder: string): Promise<TextModel> {
  const file = join(folder, FACTS_FILE)
  const bytes = await readBoundedFile(file, FACTS_LIMIT)
  const read = bytes === undefined ? undefined : facts.safeParse(parseJsonObject(bytes, file))
  if (read?.data === undefined) {
    throw new OneroundError(bytes === undefined ? 'NOT_FOUND' : 'MALFORMED', `${folder} holds no exported model.`, {
      found: bytes === undefined ? `a folder without ${FACTS_FILE}` : `${FACTS_FILE} with other fields`,
      expected: "a folder that 'oneround convert --to onnx' wrote",
      fix: 'Pass the folder that holds model.onnx, or export it again.',
    })
  }
  const { bosToken, eosToken, maxPositions } = read.data
  const special = {
    ...(bosToken === null ? {} : { bosToken }),
    ...(eosToken === null ? {} : { eosToken }),
  }
  const source = (await tokenizerOfFolder(folder, special)) ?? noTokenizer(folder, folder)
  return { tokenizer: source.build(), spec: { ...special, maxPositions } }
}

function graphLayers(adapter: Adapter, name: string): GraphLayer[] {
  if (adapter.dense.length > 0) {
    throw new OneroundError('UNSUPPORTED', `Adapter '${name}' cannot be kept apart from an ONNX graph.`, {
      found: `dense deltas of ${adapter.dense.length} tensors`,
      expected: 'factors of linear layers only',
      fix: 'Merge it into the base when the graph is exported.',
    })
  }
  return adapter.layers
    .filter(({ rank }) => rank > 0)
    .map(({ name: layer, rank, scale, a, b }) => ({ layer, rank, a, b: b.map((value) => value * scale) }))
}

/** The worker, its open calls, and what it answered. */
class OnnxThread {
  readonly #worker: Worker
  readonly #open = new Map<number, { resolve: (reply: Reply) => void; reject: (error: unknown) => void }>()
  #next = 0

  private constructor(worker: Worker) {
    this.#worker = worker
    worker.on('message', (reply: Reply) => this.#settle(reply))
    worker.on('error', (cause) => this.#fail(cause))
    worker.on('exit', () => this.#fail(undefined))
  }

  static async start(workerData: WorkerStart): Promise<OnnxThread> {
    const thread = new OnnxThread(new Worker(workerFile('runtime/onnx-worker'), { workerData }))
    try {
      await new Promise<Reply>((resolve, reject) => thread.#open.set(-1, { resolve, reject }))
    } catch (error) {
      await thread.close()
      throw error
    }
    return thread
  }

  async call(call: Call): Promise<Reply> {
    const request = this.#next++
    return new Promise<Reply>((resolve, reject) => {
      this.#open.set(request, { resolve, reject })
      this.#worker.postMessage({ ...call, request })
    })
  }

  /** Callers stop waiting; the worker, which nothing can interrupt, ends the pass that it is in. */
  abandon(): void {
    this.#fail(new OneroundError('ABORTED', 'The request was stopped.', { fix: 'Ask again.' }))
  }

  async close(): Promise<void> {
    await this.#worker.terminate()
  }

  #settle(reply: Reply): void {
    const request = 'ready' in reply ? -1 : reply.request
    const waiting = this.#open.get(request)
    this.#open.delete(request)
    if ('failure' in reply) {
      const { code, message, fix } = reply.failure
      waiting?.reject(new OneroundError(code, message, { fix }))
    } else waiting?.resolve(reply)
  }

  #fail(cause: unknown): void {
    const ended = new OneroundError('CLOSED', 'The runtime has ended.', { fix: 'Open it again.', cause })
    for (const { reject } of this.#open.values()) reject(cause instanceof OneroundError ? cause : ended)
    this.#open.clear()
  }
}

class OnnxRuntime implements Runtime {
  readonly kind = 'onnx'
  readonly #model: TextModel
  readonly #adapters: ReadonlyMap<string, unknown>
  readonly #thread: OnnxThread
  readonly #turns = new Turns()

  constructor(model: TextModel, adapters: ReadonlyMap<string, unknown>, thread: OnnxThread) {
    this.#model = model
    this.#adapters = adapters
    this.#thread = thread
  }

  async *generate(prompt: string, o: GenerateRequest = {}): AsyncGenerator<string, TextEnd> {
    namedAdapter(this.#adapters, o.adapter)
    using _ = await this.#turns.take()
    const logitsOf = async (call: Call) => ((await this.#thread.call(call)) as { logits: Float32Array }).logits
    const engine: NextToken = {
      prefill: (ids) => logitsOf({ call: 'prefill', ids, adapter: o.adapter }),
      next: (id) => logitsOf({ call: 'next', id }),
      abort: () => this.#thread.abandon(),
    }
    const { tokenizer, spec } = this.#model
    const options = { ...textOptions(o), capacity: spec.maxPositions, ends: endOf(this.#model) }
    return yield* continueText(engine, tokenizer, promptTokens(this.#model, prompt), options, o.signal)
  }

  async score(prompt: string, continuations: readonly string[], o: RequestOptions = {}): Promise<Likelihood[]> {
    namedAdapter(this.#adapters, o.adapter)
    using _ = await this.#turns.take()
    const likelihoods: Likelihood[] = []
    for (const [id, text] of continuations.entries()) {
      o.signal?.throwIfAborted()
      const { ids, labels } = continuation(this.#model, prompt, text, id)
      const tokens = labels.filter((label) => label >= 0).length
      const reply = await this.#thread.call({ call: 'score', ids, own: tokens, adapter: o.adapter })
      likelihoods.push({ logLikelihood: (reply as { logLikelihood: number }).logLikelihood, tokens })
    }
    return likelihoods
  }

  async close(): Promise<void> {
    await this.#thread.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}
