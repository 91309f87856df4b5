/** Rows of Parquet files, decoded in a process that may hang or fall without the caller's. */
import { type ChildProcess, fork } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type ErrorCode, OneroundError } from '../../errors.js'
import { readPieces } from '../lines.js'
import type { Slices } from '../slices.js'
import { MAX_FILE_BYTES } from '../sources.js'
import type { Answer, Failure, Request } from './process.js'

export interface ParquetLimits {
  /** megabytes of the decoding process's JavaScript heap; default 2048 */
  heap?: number
  /** milliseconds until a row group must be decoded; default 60,000 */
  time?: number
  signal?: AbortSignal | undefined
}

/**
 * Hands each row to `take` with its number, from 1. A row is an object: text, numbers, truth values, null; dates and times
 * as ISO 8601 text; whole numbers beyond 2^53 as text; lists and structs where they are `needed`. Snappy, gzip and brotli
 * are decompressed, and zstd where Node has it.
 * @param needed columns that must be readable where they exist; of the others only single values are read
 * @returns the file's SHA-256, hexadecimal
 * @throws OneroundError MALFORMED, UNSUPPORTED (a needed column's type, a codec, encryption), MEMORY, ABORTED, IO
 */
export async function readParquet(
  path: string,
  needed: readonly string[],
  slices: Slices,
  take: (row: Record<string, unknown>, number: number) => Promise<void>,
  limits: ParquetLimits = {},
): Promise<string> {
  const sha256 = await readPieces(path, MAX_FILE_BYTES, async () => {
    if (slices.due()) await slices.turn()
  })
  using decoder = new Decoder({ path, needed: [...needed] }, limits)
  let number = 0
  for (let rows = await decoder.next(); rows !== undefined; rows = await decoder.next()) {
    for (const row of rows) {
      if (slices.due()) await slices.turn()
      await take(row, ++number)
    }
  }
  return sha256
}

/** The process, one question at a time. */
class Decoder implements Disposable {
  readonly #request: Request
  readonly #limits: ParquetLimits
  readonly #child: ChildProcess
  readonly #kill = () => this.#child.kill('SIGKILL')

  constructor(request: Request, limits: ParquetLimits) {
    this.#request = request
    this.#limits = limits
    this.#child = fork(program(), [], {
      execArgv: [`--max-old-space-size=${limits.heap ?? 2048}`],
      env: { ...process.env, NODE_OPTIONS: '' },
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    })
    // without a listener a failed start would be an uncaught exception between two questions
    this.#child.on('error', () => undefined)
    process.once('exit', this.#kill)
  }

  /** The next rows, or undefined behind the last. */
  async next(): Promise<Record<string, unknown>[] | undefined> {
    const answer = await this.#ask()
    if ('error' in answer) throw failureOf(answer.error)
    return 'rows' in answer ? answer.rows : undefined
  }

  #ask(): Promise<Answer> {
    const { path } = this.#request
    const { time = 60_000, signal } = this.#limits
    const { promise, settle } = once<Answer>()
    const late = setTimeout(() => settle(fallen(path, `no rows within ${Math.round(time / 1000)} seconds`)), time)
    const stop = () => settle(stopped(signal))
    const ended = (code: number | null, by: string | null) =>
      settle(fallen(path, `an end of the decoding process (${by ?? `exit code ${code}`})`))
    const failed = (cause: Error) => settle(notStarted(cause))
    const answered = (answer: Answer) => settle(undefined, answer)
    this.#child.once('message', answered).once('exit', ended).once('error', failed)
    signal?.addEventListener('abort', stop)
    if (signal?.aborted) stop()
    else if (!this.#child.connected) ended(this.#child.exitCode, this.#child.signalCode)
    else this.#child.send(this.#request, (error) => error && failed(error))
    return promise.finally(() => {
      clearTimeout(late)
      signal?.removeEventListener('abort', stop)
      this.#child.off('message', answered).off('exit', ended).off('error', failed)
    })
  }

  [Symbol.dispose](): void {
    process.off('exit', this.#kill)
    this.#kill()
  }
}

function once<T>(): { promise: Promise<T>; settle: (error: Error | undefined, value?: T) => void } {
  let settle: (error: Error | undefined, value?: T) => void = () => undefined
  const promise = new Promise<T>((resolve, reject) => {
    settle = (error, value) => (error === undefined ? resolve(value as T) : reject(error))
  })
  return { promise, settle }
}

/** A process runs JavaScript only; where this file is not compiled yet, the compiled one beside it serves. */
function program(): string {
  const beside = fileURLToPath(new URL('./process.js', import.meta.url))
  return existsSync(beside) ? beside : fileURLToPath(new URL('../../../dist/data/parquet/process.js', import.meta.url))
}

function failureOf({ code, message, found, expected, fix }: Failure): OneroundError {
  return new OneroundError(code as ErrorCode, message, {
    found,
    expected,
    fix: fix ?? 'Check the path, the right to read it and the disk.',
  })
}

function fallen(path: string, found: string): OneroundError {
  return new OneroundError('MEMORY', `${path} could not be decoded within the limits of time and memory.`, {
    found,
    expected: 'row groups that are decoded within them',
    fix: 'Write it with smaller row groups (pyarrow: row_group_size=10000), or as JSON Lines; if it came from someone else, do not trust it.',
  })
}

function stopped(signal: AbortSignal | undefined): OneroundError {
  return new OneroundError('ABORTED', 'Loading data was stopped.', {
    fix: 'Start it again; nothing was written.',
    cause: signal?.reason,
  })
}

function notStarted(cause: Error): OneroundError {
  return new OneroundError('IO', 'The process that decodes Parquet could not be started.', {
    found: cause.message,
    fix: 'Allow the program to start processes, or write the data as JSON Lines.',
    cause,
  })
}
