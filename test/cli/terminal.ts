import type { Terminal } from '../../src/cli/terminal.js'

export interface TestTerminal extends Terminal {
  stop: AbortController
  output(): string
  errors(): string
}

/** A terminal that keeps what was written to it. */
export function testTerminal(o: { debug?: boolean } = {}): TestTerminal {
  const stop = new AbortController()
  let output = ''
  let errors = ''
  return {
    out: (text) => {
      output += text
    },
    progress: {
      write: (text) => {
        errors += text
      },
      live: false,
      columns: () => 80,
      rows: () => 24,
      now: () => performance.now(),
    },
    signal: stop.signal,
    debug: o.debug === true,
    stop,
    output: () => output,
    errors: () => errors,
  }
}
