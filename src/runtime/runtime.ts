/** One interface to whatever serves a base with adapters, so that a service can change the engine under it. */
import type { TextEnd, TextOptions } from '../evaluate/continue-text.js'

export const RUNTIMES = ['native', 'onnx', 'llama.cpp'] as const
export type RuntimeKind = (typeof RUNTIMES)[number]

export interface RuntimeOptions {
  /** native: what openModel takes; onnx: a folder that `convert --to onnx` wrote; llama.cpp: a .gguf file */
  model: string
  /**
   * Adapters by the names that requests use. native and onnx: adapter folders (onnx: the graph must take them as
   * inputs, `convert --to onnx --adapter-as apart`); llama.cpp: .gguf adapters. Default: none.
   */
  adapters?: Readonly<Record<string, string>> | undefined
  /** default: all cores */
  threads?: number | undefined
}

export interface RequestOptions {
  /** one of RuntimeOptions.adapters; default: the base alone */
  adapter?: string | undefined
  signal?: AbortSignal | undefined
}

export type GenerateRequest = RequestOptions & { [K in keyof TextOptions]?: TextOptions[K] | undefined }

export interface Likelihood {
  /** natural logarithm of the continuation's probability after the prompt */
  logLikelihood: number
  /** tokens of the continuation */
  tokens: number
}

/** Requests wait for one another: there is one engine. */
export interface Runtime extends AsyncDisposable {
  readonly kind: RuntimeKind
  /** The text that follows a prompt, in pieces; greedy unless a temperature is given. Leaving the loop ends the work. */
  generate(prompt: string, o?: GenerateRequest): AsyncGenerator<string, TextEnd>
  /** How likely each continuation is after the prompt. A continuation brings its own leading blank. */
  score(prompt: string, continuations: readonly string[], o?: RequestOptions): Promise<Likelihood[]>
  close(): Promise<void>
}

/** maxTokens 128, greedy */
const usualText: TextOptions = { maxTokens: 128, temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0, stop: [] }

/** The request's own options over the usual ones; one that is there but undefined means the usual one. */
export function textOptions(o: GenerateRequest): TextOptions {
  const given = Object.entries(o).filter(([key, value]) => value !== undefined && key in usualText)
  return { ...usualText, ...Object.fromEntries(given) }
}
