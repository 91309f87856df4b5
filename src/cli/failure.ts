import { CommanderError } from 'commander'
import { OneroundError } from '../errors.js'
import { printable } from '../report/escape.js'
import type { Terminal } from './terminal.js'

/** 0 done, 1 failure, 2 usage, 130 stopped by Ctrl-C. */
export const exitCode = { done: 0, failure: 1, usage: 2, stopped: 130 } as const

/** Tells a failure in one sentence and gives the exit code. Commander has told its own already. */
export function report(failure: unknown, terminal: Terminal): number {
  if (failure instanceof CommanderError) return failure.exitCode === 0 ? exitCode.done : exitCode.usage
  const write = (text: string) => terminal.progress.write(`${text}\n`)
  if (terminal.debug && failure instanceof Error) write(failure.stack ?? String(failure))
  if (codeOf(failure) === 'ABORTED' && terminal.signal.aborted) {
    write(
      'stopped: everything finished so far is saved; the same command with --resume goes on where a run folder or a checkpoint was being written',
    )
    return exitCode.stopped
  }
  if (failure instanceof OneroundError) {
    write(`error: ${sentence(failure)}`)
    return failure.code === 'ARGUMENT' ? exitCode.usage : exitCode.failure
  }
  const text = failure instanceof Error ? failure.message : String(failure)
  const hint = terminal.debug ? '' : ' (ONEROUND_DEBUG=1 shows where)'
  write(`error: ${printable(text)}${hint}`)
  return exitCode.failure
}

/** `message: found F, expected E; fix` with control characters shown. */
export function sentence(error: OneroundError): string {
  const facts: string[] = []
  if (error.found !== undefined) facts.push(`found ${error.found}`)
  if (error.expected !== undefined) facts.push(`expected ${error.expected}`)
  const head = error.message.replace(/[.\s]+$/, '')
  const told = facts.length === 0 ? head : `${head}: ${facts.join(', ')}`
  const whole = error.fix === '' ? `${told}.` : `${told}. ${error.fix}`
  return printable(whole.replace(/\s*[\r\n]+\s*/g, ' '))
}

/** Errors of the addon carry their code as a property, like ours. */
function codeOf(failure: unknown): string | undefined {
  if (typeof failure !== 'object' || failure === null) return undefined
  if ('name' in failure && failure.name === 'AbortError') return 'ABORTED'
  return 'code' in failure && typeof failure.code === 'string' ? failure.code : undefined
}
