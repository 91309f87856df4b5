/** One row of a user's data, and the refusals that say where it lies. They never quote it: a row may be private. */
import type { OneroundError } from '../errors.js'
import { malformed } from './lines.js'

export class Row {
  readonly #record: Record<string, unknown>
  readonly #path: string
  readonly #line: number
  readonly #wanted: string

  /**
   * @param path of the file, or `rows` for objects in memory
   * @param line from 1
   * @param wanted what the template needs, for refusals
   * @throws OneroundError MALFORMED where the row is not an object
   */
  constructor(value: unknown, path: string, line: number, wanted: string) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw malformed(path, line, 'the row is not an object', {
        found: kindOf(value),
        expected: `an object with ${wanted}`,
        fix: 'Write each row as one object.',
      })
    }
    this.#record = value as Record<string, unknown>
    this.#path = path
    this.#line = line
    this.#wanted = wanted
  }

  /** own fields only: `__proto__` and its like are no data */
  value(field: string): unknown {
    return Object.hasOwn(this.#record, field) ? this.#record[field] : undefined
  }

  /** neither missing nor null; tables write null for a cell that is not there */
  has(field: string): boolean {
    return this.value(field) !== undefined && this.value(field) !== null
  }

  entries(): [string, unknown][] {
    return Object.entries(this.#record)
  }

  /** the first of its fields' names */
  names(): string {
    return Object.keys(this.#record).slice(0, 16).join(', ')
  }

  /** A field as text; a number is text. */
  text(field: string): string {
    const value = this.value(field)
    if (typeof value === 'string') return value
    if (typeof value === 'bigint' || (typeof value === 'number' && Number.isFinite(value))) return String(value)
    const missing = value === undefined
    throw this.refusal(`the field ${JSON.stringify(field)} is ${missing ? 'missing' : 'not text'}`, {
      found: missing ? `the fields ${this.names() || '(none)'}` : kindOf(value),
      expected: `text in ${this.#wanted}`,
    })
  }

  refusal(what: string, detail: { found: string; expected: string; fix?: string }): OneroundError {
    return malformed(this.#path, this.#line, what, {
      fix: 'Correct the row, or choose a template whose fields every row has.',
      ...detail,
    })
  }
}

export function kindOf(value: unknown): string {
  if (value === null) return 'null'
  return Array.isArray(value) ? 'a list' : `a ${typeof value}`
}
