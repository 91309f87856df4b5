import { describe, expect, it } from 'vitest'
import { makeProgram, runCommandLine } from '../../src/cli/program.js'
import { testTerminal } from './terminal.js'

async function run(...words: string[]) {
  const terminal = testTerminal()
  const code = await runCommandLine(words, terminal)
  return { code, output: terminal.output(), errors: terminal.errors() }
}

const commands = makeProgram(testTerminal()).commands

describe('the command line', () => {
  it('lists exactly the commands that are built', () => {
    expect(commands.map((command) => command.name()).sort()).toEqual(
      [
        'adopt',
        'aggregate',
        'convert',
        'demo',
        'devices',
        'diagnose',
        'evaluate',
        'generate',
        'inspect',
        'plan',
        'pull',
        'push',
        'report',
        'simulate',
        'train',
        'value',
        'withdraw',
      ].sort(),
    )
  })

  for (const command of commands) {
    it(`${command.name()} --help shows examples of itself and what all commands take`, async () => {
      const { code, output, errors } = await run(command.name(), '--help')
      expect(code).toBe(0)
      expect(errors).toBe('')
      expect(output).toMatch(new RegExp(`Examples:\\n +\\$ .*oneround ${command.name()} ?`))
      for (const flag of ['--json', '--threads', '--device', '--help']) expect(output).toContain(flag)
    })

    it(`${command.name()}'s examples are understood by its own parser`, async () => {
      const { output } = await run(command.name(), '--help')
      const examples = [...output.matchAll(/\$ (?:[A-Z_]+=\S+ )?oneround (.*)/g)].map((match) =>
        (match[1] ?? '').split(' '),
      )
      expect(examples.length).toBeGreaterThan(0)
      for (const words of examples) {
        const terminal = testTerminal()
        const program = makeProgram(terminal)
        let ran = false
        for (const one of program.commands) {
          one.action(() => {
            ran = true
          })
        }
        await program.parseAsync(words, { from: 'user' })
        expect(ran, words.join(' ')).toBe(true)
      }
    })
  }

  it('says what it is with --help and --version', async () => {
    expect(await run('--version')).toMatchObject({ code: 0, output: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) })
    const help = await run('--help')
    expect(help.code).toBe(0)
    expect(help.output).toContain('Exit codes')
  })

  it('ends with 2 and help on standard error where nothing is asked', async () => {
    const { code, output, errors } = await run()
    expect(code).toBe(2)
    expect(output).toBe('')
    expect(errors).toContain('Usage: oneround')
  })

  it('suggests the command or flag that was meant', async () => {
    const command = await run('simulat')
    expect(command).toMatchObject({ code: 2, output: '' })
    expect(command.errors).toContain('Did you mean simulate?')
    const flag = await run('devices', '--thread', '2')
    expect(flag.code).toBe(2)
    expect(flag.errors).toContain('--threads')
  })

  const usage: [string, string[], RegExp][] = [
    ['a missing flag', ['train', 'plan.json'], /--client/],
    ['a missing argument', ['inspect'], /path/],
    ['a missing value', ['demo', '--out'], /argument missing/],
    ['too much', ['inspect', 'a', 'b'], /too many arguments/],
    ['no number', ['devices', '--threads', 'two'], /--threads.*whole number/],
    ['no threads', ['devices', '--threads', '0'], /whole number from 1/],
    ['an unknown device', ['devices', '--device', 'tpu'], /cpu, cuda/],
    ['an unknown task', ['evaluate', '--base', 'b', '--data', 'd', '--task', 'vibes'], /one of loss/],
    [
      'an unknown share',
      ['plan', '--base', 'b', '--out', 'o', '--clients', 'a', '--share', 'names'],
      /examples, tokens, losses/,
    ],
    ['a client twice', ['plan', '--base', 'b', '--out', 'o', '--clients', 'a,a'], /twice/],
    ['no clients', ['plan', '--base', 'b', '--out', 'o'], /--clients/],
    ['no base', ['simulate', '--data', 'd', '--out', 'o'], /--base PATH/],
    [
      'a plan and its flags',
      ['simulate', 'plan.json', '--data', 'd', '--out', 'o', '--learning-rate', '1'],
      /--learning-rate/,
    ],
  ]
  for (const [what, words, says] of usage) {
    it(`refuses ${what} as usage`, async () => {
      const { code, output, errors } = await run(...words)
      expect(errors).toMatch(says)
      expect(code).toBe(2)
      expect(output).toBe('')
    })
  }

  const failures: [string, string[], RegExp][] = [
    ['cuda, with the reason', ['devices', '--device', 'cuda'], /CUDA plugin.*found cuda, expected cpu/],
    ['a path that is not there', ['inspect', 'no-such-file'], /no-such-file/],
    ['a base that is not there', ['evaluate', '--base', 'no-such-base', '--data', 'd'], /no-such-base/],
    [
      'a plan that is not there',
      ['train', 'no-such.json', '--client', 'a', '--data', 'd', '--out', 'o'],
      /no-such\.json/,
    ],
    [
      'a config that is not there',
      ['plan', '--base', 'b', '--clients', 'a', '--out', 'o', '--config', 'no.json'],
      /no\.json/,
    ],
    ['a run that is not there', ['report', 'no-such-run'], /no-such-run/],
  ]
  for (const [what, words, says] of failures) {
    it(`fails on ${what}`, async () => {
      const { code, output, errors } = await run(...words)
      expect(errors).toMatch(says)
      expect(errors).toMatch(/^error: /)
      expect(errors).not.toContain('    at ')
      expect(code).toBe(1)
      expect(output).toBe('')
    })
  }
})
