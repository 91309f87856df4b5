import { CommanderError } from 'commander'
import { describe, expect, it } from 'vitest'
import { report, sentence } from '../../src/cli/failure.js'
import { OneroundError } from '../../src/errors.js'
import { testTerminal } from './terminal.js'

describe('a failure', () => {
  it('is one line with found, expected and fix', () => {
    const error = new OneroundError('MISMATCH', 'The base is not the one of the plan.', {
      found: 'x',
      expected: 'y',
      fix: 'Give the right base.',
    })
    expect(sentence(error)).toBe('The base is not the one of the plan: found x, expected y. Give the right base.')
    expect(sentence(new OneroundError('IO', 'The disk is full', { fix: 'Free some space.' }))).toBe(
      'The disk is full. Free some space.',
    )
  })

  it('cannot steer the terminal', () => {
    const error = new OneroundError('NOT_FOUND', 'no \u001b[2J', { found: 'a\nb', fix: '\rfix' })
    for (const control of ['\u001b', '\n', '\r']) expect(sentence(error)).not.toContain(control)
  })

  it('has an exit code of its kind', () => {
    const terminal = testTerminal()
    const error = (code: 'ARGUMENT' | 'REFUSED' | 'ABORTED') => new OneroundError(code, 'm', { fix: 'f' })
    expect(report(error('ARGUMENT'), terminal)).toBe(2)
    expect(report(error('REFUSED'), terminal)).toBe(1)
    expect(report(new Error('m'), terminal)).toBe(1)
    expect(report('m', terminal)).toBe(1)
    expect(report(new CommanderError(1, 'commander.unknownOption', 'm'), terminal)).toBe(2)
    expect(report(new CommanderError(0, 'commander.helpDisplayed', 'm'), terminal)).toBe(0)
    // stopped by something else than Ctrl-C is a failure like any other
    expect(report(error('ABORTED'), terminal)).toBe(1)
    terminal.stop.abort()
    expect(report(error('ABORTED'), terminal)).toBe(130)
    expect(report(Object.assign(new Error('native'), { code: 'ABORTED' }), terminal)).toBe(130)
    expect(report(error('REFUSED'), terminal)).toBe(1)
  })

  it('has a stack only for those who ask', () => {
    const quiet = testTerminal()
    report(new Error('broken'), quiet)
    expect(quiet.errors()).toBe('error: broken (ONEROUND_DEBUG=1 shows where)\n')
    const loud = testTerminal({ debug: true })
    report(new Error('broken'), loud)
    expect(loud.errors()).toContain('failure.test')
  })
})
