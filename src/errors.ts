/**
 * The one error type of the public API. Every refusal says what was found, what was expected
 * and what to do; `code` is stable and is what a program should test.
 */
export type ErrorCode =
  | 'ARGUMENT' // an option has the wrong type or value
  | 'UNSUPPORTED' // a model, type, task or option that is not built
  | 'NOT_FOUND' // a file, tensor, column or client that is not there
  | 'MALFORMED' // a file that is not what it claims to be
  | 'MISMATCH' // two things that do not belong together (plan and base, update and plan)
  | 'REFUSED' // an update or run that breaks a rule
  | 'MEMORY' // what was asked for does not fit
  | 'ABORTED' // stopped by an AbortSignal
  | 'CLOSED' // used after close()
  | 'NUMERIC' // a loss or norm that is not finite
  | 'NATIVE' // the addon is missing or failed
  | 'IO' // the file system refused

interface ErrorDetail {
  found?: string | undefined
  expected?: string | undefined
  /** What the reader should do next, as a full sentence. */
  fix: string
  cause?: unknown
}

export class OneroundError extends Error {
  readonly code: ErrorCode
  readonly found?: string
  readonly expected?: string
  readonly fix: string

  constructor(code: ErrorCode, message: string, detail: ErrorDetail) {
    super(message, detail.cause === undefined ? undefined : { cause: detail.cause })
    this.name = 'OneroundError'
    this.code = code
    if (detail.found !== undefined) this.found = detail.found
    if (detail.expected !== undefined) this.expected = detail.expected
    this.fix = detail.fix
  }
}
