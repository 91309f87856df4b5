/** What the runtime and its worker thread say to each other. */

/** Factors for the graph's inputs, the scale multiplied into b. */
export interface GraphLayer {
  layer: string
  rank: number
  /** [rank, in] */
  a: Float32Array
  /** [out, rank] */
  b: Float32Array
}

export interface WorkerStart {
  graph: string
  threads: number
  adapters: ReadonlyMap<string, readonly GraphLayer[]>
}

export type Call =
  | { call: 'prefill'; ids: Int32Array; adapter: string | undefined }
  | { call: 'next'; id: number }
  /** log-likelihood of the last `own` tokens */
  | { call: 'score'; ids: Int32Array; own: number; adapter: string | undefined }

export type Request = Call & { request: number }

export type Reply =
  | { ready: true }
  | { request: number; logits: Float32Array }
  | { request: number; logLikelihood: number }
  /** request -1: the graph could not be opened */
  | {
      request: number
      failure: { code: 'MALFORMED' | 'MISMATCH' | 'UNSUPPORTED' | 'IO'; message: string; fix: string }
    }
