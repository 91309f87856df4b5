import { OneroundError } from '../errors.js'

/** A rule that an update breaks. The message names client, rule, value and limit. */
export function refusal(client: string, rule: string, value: string, limit: string, fix: string): OneroundError {
  return new OneroundError(
    'REFUSED',
    `The update of client '${client}' breaks the rule '${rule}': ${value}; must be ${limit}.`,
    { found: value, expected: limit, fix },
  )
}
