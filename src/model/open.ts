import { stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { OneroundError } from '../errors.js'
import type { NativeWeights } from '../native/binding/weights.js'
import { native } from '../native/load.js'
import { fileError } from '../text/bounded-file.js'
import { tokenizerOfGguf } from '../text/gguf-tokenizer.js'
import type { Tokenizer, TokenizerSource } from '../text/tokenizer.js'
import { noTokenizer, tokenizerOfFolder } from '../text/tokenizer-files.js'
import { readGguf } from './gguf.js'
import { ggufSpec } from './gguf-decoder.js'
import { fetchModel, type HubOptions } from './hub.js'
import { HUB_SCHEME } from './hub-address.js'
import { huggingFaceSpec } from './huggingface.js'
import { identityOf, type ModelIdentity } from './identity.js'
import type { ModelSpec } from './spec.js'

/** An open base model. Opening reads headers only; weights are mapped and the tokenizer is built at first use. */
export interface Model extends AsyncDisposable {
  /** as it was passed to openModel */
  readonly source: string
  readonly spec: ModelSpec
  /** bytes of the weights in their files */
  readonly bytes: number
  /** @throws OneroundError where the model has none that can be used */
  readonly tokenizer: Tokenizer
  /** The mapped weights; @throws OneroundError NATIVE where the addon is missing */
  readonly weights: NativeWeights
  /** Digests of weights and tokenizer. Reads all weights once, in slices, and remembers the result in this process. */
  id(): Promise<ModelIdentity>
  /** Lets the weights go; sessions that use them keep them alive. May be called twice. */
  close(): Promise<void>
}

/**
 * Opens a base model: a Hugging Face folder (config.json, safetensors) or a .gguf file, of
 * one of the architectures of architectures.ts; or `hub:OWNER/NAME@REVISION`, fetched into a cache first (hub.ts).
 * @throws OneroundError NOT_FOUND, MALFORMED, or UNSUPPORTED with the list of what is supported
 */
export async function openModel(source: string, o: HubOptions = {}): Promise<Model> {
  // a model of the hub is what it is once it lies in the cache
  if (source.startsWith(HUB_SCHEME)) return openModel(await fetchModel(source, o))
  if (o.revision !== undefined) {
    throw new OneroundError('ARGUMENT', 'a revision only means something for a model that is downloaded', {
      found: `revision ${o.revision} for ${source}`,
      expected: 'no revision',
      fix: 'Leave the revision out.',
    })
  }
  if (await isFolder(source)) {
    const spec = await huggingFaceSpec(source)
    return new OpenModel(source, spec, (await tokenizerOfFolder(source, spec)) ?? noTokenizer(source, source))
  }
  if (!source.endsWith('.gguf')) {
    throw new OneroundError('UNSUPPORTED', `${source} is not a kind of model that can be opened`, {
      found: 'a file',
      expected: 'a Hugging Face folder or a .gguf file',
      fix: 'Pass the folder that holds config.json, or a .gguf file.',
    })
  }
  const gguf = await readGguf(source)
  const spec = await ggufSpec(source, gguf)
  const beside = await tokenizerOfFolder(dirname(source), spec)
  return new OpenModel(source, spec, beside ?? tokenizerOfGguf(gguf.metadata, source, spec))
}

async function isFolder(source: string): Promise<boolean> {
  try {
    return (await stat(source)).isDirectory()
  } catch (cause) {
    throw fileError(source, cause)
  }
}

class OpenModel implements Model {
  readonly source: string
  readonly spec: ModelSpec
  readonly #tokenizerSource: TokenizerSource
  #tokenizer: Tokenizer | undefined
  #weights: NativeWeights | undefined
  #closed = false

  constructor(source: string, spec: ModelSpec, tokenizerSource: TokenizerSource) {
    this.source = source
    this.spec = spec
    this.#tokenizerSource = tokenizerSource
  }

  get bytes(): number {
    return this.spec.bytes
  }

  get tokenizer(): Tokenizer {
    this.#checkOpen()
    if (this.#tokenizer === undefined) {
      const tokenizer = this.#tokenizerSource.build()
      if (tokenizer.vocabulary > this.spec.shape.vocabulary) {
        throw new OneroundError('MISMATCH', `${this.source}: tokenizer and weights do not belong together`, {
          found: `a tokenizer of ${tokenizer.vocabulary} tokens`,
          expected: `at most ${this.spec.shape.vocabulary}, the rows of the embedding`,
          fix: "Use the model's own tokenizer.",
        })
      }
      this.#tokenizer = tokenizer
    }
    return this.#tokenizer
  }

  get weights(): NativeWeights {
    this.#checkOpen()
    if (this.#weights === undefined) {
      const { shape, files, tensors } = this.spec
      const { Weights } = native()
      this.#weights = new Weights(shape, files, tensors)
    }
    return this.#weights
  }

  async id(): Promise<ModelIdentity> {
    this.#checkOpen()
    return identityOf(this.spec, this.#tokenizerSource.sha256)
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#weights?.close()
    this.#weights = undefined
    this.#tokenizer = undefined
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #checkOpen(): void {
    if (!this.#closed) return
    throw new OneroundError('CLOSED', `${this.source} was closed`, {
      found: 'a closed model',
      expected: 'an open one',
      fix: 'Open the model again.',
    })
  }
}
