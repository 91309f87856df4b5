import { OneroundError } from '../errors.js'

interface IntegerRange {
  least?: number
  most: number
  /** taken where the key is absent or null */
  otherwise?: number
}

/**
 * The settings of a model as its file gives them (config.json or GGUF metadata), read key by key. Every number has a
 * bound, because sizes are computed from them.
 */
export class Settings {
  readonly #values: ReadonlyMap<string, unknown>
  /** what errors call the file */
  readonly source: string

  constructor(values: ReadonlyMap<string, unknown>, source: string) {
    this.#values = values
    this.source = source
  }

  /** undefined where the key is absent or null */
  raw(key: string): unknown {
    return this.#values.get(key) ?? undefined
  }

  /** whether the file has the key, null or not */
  has(key: string): boolean {
    return this.#values.has(key)
  }

  integer(key: string, range: IntegerRange): number {
    const least = range.least ?? 1
    const value = this.raw(key) ?? range.otherwise
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= least && value <= range.most) return value
    throw this.fault(key, value, `an integer from ${least} to ${range.most}`)
  }

  /** a finite number above zero */
  positive(key: string, otherwise?: number): number {
    const value = this.raw(key) ?? otherwise
    if (typeof value === 'number' && Number.isFinite(value) && value > 0) return value
    throw this.fault(key, value, 'a number above zero')
  }

  flag(key: string, otherwise: boolean): boolean {
    const value = this.raw(key) ?? otherwise
    if (typeof value === 'boolean') return value
    throw this.fault(key, value, 'true or false')
  }

  text(key: string, otherwise?: string): string {
    const value = this.raw(key) ?? otherwise
    if (typeof value === 'string') return value
    throw this.fault(key, value, 'a string')
  }

  /**
   * A token's number; of a list (several end tokens) the first. One beyond the vocabulary stands in files whose
   * vocabulary was cut down without it: the model has no such token.
   */
  token(key: string, vocabulary: number): number | undefined {
    const value = this.raw(key)
    const first: unknown = Array.isArray(value) ? value[0] : value
    if (first === undefined) return undefined
    if (typeof first === 'number' && Number.isSafeInteger(first) && first >= 0) {
      return first < vocabulary ? first : undefined
    }
    throw this.fault(key, value, `a token from 0 to ${vocabulary - 1}`)
  }

  fault(key: string, found: unknown, expected: string): OneroundError {
    return new OneroundError('MALFORMED', `${this.source}: ${key} is not usable`, {
      found: describe(found),
      expected,
      fix: 'Download the model again, or correct this value.',
    })
  }

  /** A value that is sound but asks for something that is not built. */
  unsupported(key: string, found: unknown, expected: string, fix: string): OneroundError {
    return new OneroundError('UNSUPPORTED', `${this.source}: ${key} = ${describe(found)} is not supported`, {
      found: describe(found),
      expected,
      fix,
    })
  }
}

function describe(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (typeof value === 'bigint') return String(value)
  const text = ArrayBuffer.isView(value) ? 'an array' : (JSON.stringify(value) ?? typeof value)
  return text.length > 100 ? `${text.slice(0, 100)}...` : text
}
