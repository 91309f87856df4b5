import type { ProgressSink } from './progress.js'

/** The outside of a command: two streams and the wish to stop. A test gives its own. */
export interface Terminal {
  /** standard output: results, nothing else */
  out(text: string): void
  /** standard error: progress, notes and failures */
  progress: ProgressSink
  /** aborted by the first Ctrl-C */
  signal: AbortSignal
  /** ONEROUND_DEBUG is set: failures come with their stack */
  debug: boolean
}

/** The terminal of this process. */
export function processTerminal(signal: AbortSignal): Terminal {
  return {
    out: (text) => void process.stdout.write(text),
    progress: {
      write: (text) => void process.stderr.write(text),
      live: process.stderr.isTTY === true && process.env.TERM !== 'dumb',
      columns: () => process.stderr.columns ?? 80,
      rows: () => process.stderr.rows ?? 24,
      now: () => performance.now(),
    },
    signal,
    debug: (process.env.ONEROUND_DEBUG ?? '') !== '',
  }
}
