/** One of zod's findings as an OneroundError: the field, what it holds, what it may hold. */
import type { z } from 'zod'
import { OneroundError } from '../errors.js'
import { NOT_BUILT } from './plan-schema.js'

type Issue = z.core.$ZodIssue

export function schemaError(what: string, issues: readonly Issue[], json: unknown, fix: string): OneroundError {
  const first = issues[0]
  if (first === undefined) return new OneroundError('MALFORMED', `${what} is not valid.`, { fix })
  const { issue, path } = deepest(first, [])
  const field = path.join('.')
  const place = field === '' ? what : `${what}: '${field}'`
  if (issue.code === 'unrecognized_keys') {
    return new OneroundError(
      'MALFORMED',
      `${what} has a field that is not known: '${[...path, issue.keys[0] ?? ''].join('.').slice(0, 200)}'.`,
      {
        found: issue.keys.slice(0, 10).join(', ').slice(0, 400),
        expected: 'only the fields of this version',
        fix,
      },
    )
  }
  const value = at(json, path)
  const found = (JSON.stringify(value) ?? 'nothing').slice(0, 200)
  const planned = typeof value === 'string' && NOT_BUILT[field]?.includes(value) === true
  if (typeof value === 'string' && (planned || issue.code === 'invalid_value')) {
    return new OneroundError(
      'UNSUPPORTED',
      `${place} ${planned ? 'asks for what is not built yet' : 'is not one of the values it may have'}: '${value.slice(0, 80)}'.`,
      {
        found,
        expected:
          issue.code === 'invalid_value' ? `one of: ${issue.values.map(String).join(', ')}` : 'a kind that is built',
        fix,
      },
    )
  }
  const unbuilt = field.endsWith('publicKey')
  return new OneroundError(
    unbuilt ? 'UNSUPPORTED' : 'MALFORMED',
    `${place} is ${value === undefined ? 'missing' : 'not valid'}: ${issue.message}.`,
    {
      found,
      expected: issue.message,
      fix,
    },
  )
}

/** Into a union, to the finding of the branch that came closest. */
function deepest(issue: Issue, above: PropertyKey[]): { issue: Issue; path: PropertyKey[] } {
  const path = [...above, ...issue.path]
  if (issue.code !== 'invalid_union' || issue.errors.length === 0) return { issue, path }
  const branches = issue.errors.flatMap((branch) => (branch[0] === undefined ? [] : [deepest(branch[0], path)]))
  // A wrong value of a known list says more than a wrong type.
  const best =
    branches.find((branch) => branch.path.length > path.length) ??
    branches.find((branch) => branch.issue.code === 'invalid_value')
  return best ?? { issue, path }
}

function at(json: unknown, path: readonly PropertyKey[]): unknown {
  let value = json
  for (const key of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined
    value = (value as Record<PropertyKey, unknown>)[key]
  }
  return value
}
