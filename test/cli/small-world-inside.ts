import { rmSync } from 'node:fs'
import { afterAll, beforeAll, expect } from 'vitest'
import { runCommandLine } from '../../src/cli/program.js'
import { temporary } from './built.js'
import { writeSmallWorld } from './small-data.js'
import { testTerminal } from './terminal.js'

interface Ended {
  code: number
  out: string
  err: string
}

/** As smallWorld, with the command line in this process: for tests of many commands, where starting each is most of the time. */
export function smallWorldInside() {
  const folder = temporary()
  const before = process.cwd()
  beforeAll(() => {
    writeSmallWorld(folder)
    process.chdir(folder)
  })
  afterAll(() => {
    process.chdir(before)
    rmSync(folder, { recursive: true, force: true })
  })
  const run = async (line: string): Promise<Ended> => {
    const terminal = testTerminal()
    const code = await runCommandLine(line.split(' '), terminal)
    return { code, out: terminal.output(), err: terminal.errors() }
  }
  return {
    folder,
    run,
    /** the same with --json; a failure is the test's */
    async json(line: string): Promise<Record<string, unknown>> {
      const { code, out, err } = await run(`${line} --json`)
      expect(code, err).toBe(0)
      return JSON.parse(out) as Record<string, unknown>
    },
  }
}
