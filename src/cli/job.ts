import { OneroundError } from '../errors.js'
import type { Progress } from '../train/job.js'
import type { CommonFlags } from './options.js'
import { ProgressView } from './progress.js'
import type { Terminal } from './terminal.js'

/** What a command's body gets: the common options of the API, and a way to say something on standard error. */
export interface Job {
  /** signal, onProgress, threads and device, to be spread into the API's options */
  options: { signal: AbortSignal; onProgress: (p: Progress) => void; threads?: number; device: 'cpu' }
  note(text: string): void
}

/** What a command ends with: one value for programs, one text for people. */
export interface Result {
  json: unknown
  text: string
}

/** Runs a command's body with live progress and prints its result as asked. */
export async function runJob(
  terminal: Terminal,
  flags: CommonFlags,
  body: (job: Job) => Promise<Result>,
): Promise<void> {
  const view = new ProgressView(terminal.progress)
  try {
    if (flags.device === 'cuda') throw noCuda()
    const threads = flags.threads === undefined ? {} : { threads: flags.threads }
    const result = await body({
      options: { signal: terminal.signal, onProgress: (p) => view.update(p), ...threads, device: 'cpu' },
      note: (text) => view.note(text),
    })
    view.close()
    terminal.out(`${flags.json === true ? JSON.stringify(result.json, plain, 2) : result.text}\n`)
  } finally {
    view.close()
  }
}

export const cudaReason = 'this version has no CUDA plugin; everything computes on the CPU'

function noCuda(): OneroundError {
  return new OneroundError('UNSUPPORTED', `--device cuda is not built yet: ${cudaReason}`, {
    found: 'cuda',
    expected: 'cpu',
    fix: 'Leave --device out.',
  })
}

/** Typed arrays as lists, maps as objects; JSON has no infinities, so they become text. */
function plain(_key: string, value: unknown): unknown {
  if (value instanceof Map) return Object.fromEntries(value)
  if (ArrayBuffer.isView(value) && !(value instanceof DataView))
    return Array.from(value as unknown as ArrayLike<number>)
  if (typeof value === 'number' && !Number.isFinite(value)) return String(value)
  if (typeof value === 'bigint') return value.toString()
  return value
}
