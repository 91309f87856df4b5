#!/usr/bin/env node
import { exitCode } from './failure.js'
import { runCommandLine } from './program.js'
import { processTerminal } from './terminal.js'

const stop = new AbortController()

// The first Ctrl-C lets the running step end and files be written whole; the second does not wait.
process.on('SIGINT', () => {
  if (stop.signal.aborted) process.exit(exitCode.stopped)
  stop.abort()
  process.stderr.write('\nstopping; Ctrl-C again does not wait\n')
})

// A reader that has seen enough (`oneround inspect … | head`) is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? exitCode.done : exitCode.failure)
})

process.exitCode = await runCommandLine(process.argv.slice(2), processTerminal(stop.signal))
