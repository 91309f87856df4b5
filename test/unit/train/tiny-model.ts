/** The tiny base, open while the tests of a file run and removed after them. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll } from 'vitest'
import { type Model, openModel } from '../../../src/model/open.js'
import { writeTinyBase } from '../../cli/tiny-base.js'

/** Call it at the top of a test file; `base` is there from the first test on. */
export function tinyModel(): { readonly base: Model } {
  const folder = mkdtempSync(join(tmpdir(), 'oneround-'))
  const opened = {} as { base: Model }
  beforeAll(async () => {
    writeTinyBase(folder)
    opened.base = await openModel(folder)
  })
  afterAll(async () => {
    await opened.base.close()
    rmSync(folder, { recursive: true, force: true })
  })
  return opened
}
