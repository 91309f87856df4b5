/**
 * Reference files that are too large for the repository lie in `shared/` beside it. Tests that need them are skipped,
 * with a printed reason, where they are absent:
 *
 *   const reason = skipReason('golden/tiny')
 *   describe.skipIf(reason !== undefined)('tiny models', () => { const folder = sharedFile('golden/tiny')! ... })
 */
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const shared = new URL('../../../shared/', import.meta.url)

/** The absolute path of a file or folder of `shared/`, or undefined where it is absent. */
export function sharedFile(path: string): string | undefined {
  const full = fileURLToPath(new URL(path, shared))
  return existsSync(full) ? full : undefined
}

/** Why a test that needs all these files cannot run here (printed, too), or undefined where they are all there. */
export function skipReason(...paths: string[]): string | undefined {
  const absent = paths.filter((path) => sharedFile(path) === undefined)
  if (absent.length === 0) return undefined
  const reason = `skipped: ${absent.map((path) => `../shared/${path}`).join(', ')} not beside the repository`
  console.log(reason)
  return reason
}
