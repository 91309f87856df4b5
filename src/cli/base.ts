import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { OneroundError } from '../errors.js'
import { type Model, openModel } from '../model/open.js'
import { Clock, type JobOptions } from '../train/job.js'

/** Where the base lies. A plan names its base by digests only, since it travels and paths do not. */
export function baseOf(given: string | undefined): string {
  if (given !== undefined) return given
  throw new OneroundError('ARGUMENT', 'Where the base model lies is not known', {
    found: 'no --base',
    expected: 'a Hugging Face folder, a .gguf file, or hub:ID@REV',
    fix: "Add --base PATH; its digest is checked against the plan's.",
  })
}

/** Opens a base; what a `hub:` address has to fetch is shown as progress and ends with Ctrl-C. */
export function openBase(source: string, o: JobOptions): Promise<Model> {
  const clock = new Clock()
  return openModel(source, {
    signal: o.signal,
    onProgress: ({ file, done, total }) =>
      o.onProgress?.({ phase: `fetch ${file}`, done, total, secondsLeft: clock.secondsLeft(done, total) }),
  })
}

/** `base/` of the package; src/cli and dist/cli lie equally deep below it. */
export function embeddedBase(): string {
  const folder = join(fileURLToPath(new URL('.', import.meta.url)), '..', '..', 'base')
  if (existsSync(join(folder, 'config.json'))) return folder
  throw new OneroundError('NOT_FOUND', 'The embedded base model is not in this installation', {
    found: `no ${join(folder, 'config.json')}`,
    expected: 'the folder base/ of the package',
    fix: 'Make it with npm run make-base, or give another model with --base PATH.',
  })
}
