import { OneroundError } from '../errors.js'

/**
 * JSON with one spelling: keys sorted by code unit, no white space, numbers as ECMAScript prints them, fields that are
 * undefined left out (as RFC 8785 has it). What is hashed is this, so layout and order of a file change nothing.
 */
export function canonicalJson(value: unknown): string {
  if (typeof value === 'number' && !Number.isFinite(value)) {
    throw new OneroundError('ARGUMENT', 'A number that is not finite cannot be written as JSON.', {
      found: String(value),
      fix: 'Give a finite number.',
    })
  }
  if (Array.isArray(value)) return `[${value.map((item) => canonicalJson(item)).join(',')}]`
  if (typeof value === 'object' && value !== null) {
    const fields = Object.entries(value)
      .filter(([, field]) => field !== undefined)
      .sort(([left], [right]) => (left < right ? -1 : left > right ? 1 : 0))
      .map(([key, field]) => `${JSON.stringify(key)}:${canonicalJson(field)}`)
    return `{${fields.join(',')}}`
  }
  const text = JSON.stringify(value)
  if (text === undefined) {
    throw new OneroundError('ARGUMENT', `A ${typeof value} cannot be written as JSON.`, { fix: 'Give plain data.' })
  }
  return text
}
