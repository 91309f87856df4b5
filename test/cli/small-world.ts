import { rmSync } from 'node:fs'
import { afterAll, beforeAll, expect } from 'vitest'
import { buildCli, type Ended, start, temporary } from './built.js'
import { writeSmallWorld } from './small-data.js'

interface SmallWorld {
  /** holds base/ and clients/ */
  folder: string
  /** a command line as it is typed there, after `oneround` */
  run(line: string): Promise<Ended>
  /** the same with --json; a failure is the test's */
  json(line: string): Promise<Record<string, unknown>>
}

/** The built command line in a folder of small data, for the tests of one file. */
export function smallWorld(): SmallWorld {
  const folder = temporary()
  let main = ''
  beforeAll(() => {
    main = buildCli(folder)
    writeSmallWorld(folder)
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))
  const run = (line: string) => start(main, folder, line.split(' ')).ended
  return {
    folder,
    run,
    async json(line) {
      const { code, out, err } = await run(`${line} --json`)
      expect(code, err).toBe(0)
      return JSON.parse(out) as Record<string, unknown>
    },
  }
}
