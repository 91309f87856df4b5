/** Finds and loads the addon, once a process. What it offers is typed in binding/. */
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { OneroundError } from '../errors.js'
import type { NativeBinding } from './binding/addon.js'
import { withOurErrors } from './failures.js'

/** The package's root: the nearest folder above this file that holds binding.gyp, so that src/ and dist/ find the same. */
function packageRoot(): string {
  const start = dirname(fileURLToPath(import.meta.url))
  for (let folder = start; ; folder = dirname(folder)) {
    if (existsSync(join(folder, 'binding.gyp'))) return folder
    if (folder === dirname(folder)) return join(start, '..', '..')
  }
}

/** Loads the addon of the package at `root`; a failure names every path tried, why each failed, and the command to run. */
export function loadFrom(root: string): NativeBinding {
  const paths = [join(root, 'build', 'Release', 'oneround.node')]
  const attempts: string[] = []
  let cause: unknown
  for (const path of paths) {
    if (!existsSync(path)) {
      attempts.push(`${path}: no such file`)
      continue
    }
    try {
      return createRequire(import.meta.url)(path) as NativeBinding
    } catch (error) {
      cause = error
      attempts.push(`${path}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
  throw new OneroundError('NATIVE', `The native addon could not be loaded. Tried:\n  ${attempts.join('\n  ')}`, {
    found: cause === undefined ? 'no built addon' : 'an addon that this Node cannot load',
    expected: `build/Release/oneround.node for ${process.platform}-${process.arch}, Node ${process.versions.node}`,
    fix: `Build it with: cd ${JSON.stringify(root)} && node scripts/install.cjs (npm may have skipped it as an install script that nobody approved).`,
    cause,
  })
}

let loaded: NativeBinding | undefined

/** The addon. Throws an OneroundError with code NATIVE where it is absent. */
export function native(): NativeBinding {
  loaded ??= withOurErrors(loadFrom(packageRoot()))
  return loaded
}
