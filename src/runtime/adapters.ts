import { OneroundError } from '../errors.js'

/** The adapter that a request names. @throws OneroundError NOT_FOUND */
export function namedAdapter<T>(adapters: ReadonlyMap<string, T>, name: string | undefined): T | undefined {
  if (name === undefined) return undefined
  const adapter = adapters.get(name)
  if (adapter !== undefined) return adapter
  throw new OneroundError('NOT_FOUND', `This runtime has no adapter called '${name}'.`, {
    found: name,
    expected: [...adapters.keys()].join(', ') || 'no adapter: none was given at opening',
    fix: 'Give it at opening, under the name that requests use.',
  })
}

/** @throws OneroundError UNSUPPORTED, saying what to install */
export function missingPackage(name: string, cause: unknown): OneroundError {
  return new OneroundError('UNSUPPORTED', `This runtime needs the package ${name}, which is not installed.`, {
    found: cause instanceof Error ? cause.message : String(cause),
    expected: name,
    fix: `Run: npm install ${name}`,
    cause,
  })
}
