/** Values of a Parquet column as JSON would have them. */
import type { ParquetParsers } from 'hyparquet'

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** What is no text and no date throws; dates and times become ISO 8601, times with what the unit has of a second. */
export const parsers: Partial<ParquetParsers> = {
  stringFromBytes: (bytes) => bytes && utf8.decode(bytes),
  jsonFromBytes: (bytes) => bytes && JSON.parse(utf8.decode(bytes)),
  dateFromDays: (days) => instant(BigInt(days) * 86_400_000n).slice(0, -'T00:00:00.000Z'.length),
  timestampFromMilliseconds: (value) => instant(value),
  timestampFromMicroseconds: (value) => withFraction(value, 1000n, 3),
  timestampFromNanoseconds: (value) => withFraction(value, 1_000_000n, 6),
}

function instant(milliseconds: bigint): string {
  return new Date(Number(milliseconds)).toISOString()
}

/** @param unit of the value in a millisecond @param digits that it has behind the milliseconds */
function withFraction(value: bigint, unit: bigint, digits: number): string {
  const rest = ((value % unit) + unit) % unit
  const text = instant((value - rest) / unit)
  return rest === 0n ? text : `${text.slice(0, -1)}${String(rest).padStart(digits, '0')}Z`
}

/** Whole numbers beyond a double's become text of all their digits; a missing value is null. */
export function plainValue(value: unknown): unknown {
  if (value === undefined || value === null) return null
  if (typeof value === 'bigint') {
    const number = Number(value)
    return Number.isSafeInteger(number) ? number : String(value)
  }
  if (Array.isArray(value)) return value.map(plainValue)
  if (ArrayBuffer.isView(value)) {
    if (value instanceof Uint8Array) throw new Error('bytes in place of text')
    return Array.from(value as unknown as ArrayLike<number | bigint>, plainValue)
  }
  if (typeof value === 'object') return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, plainValue(v)]))
  return value
}

/** About as many characters as the value has in JSON. */
export function lengthOf(value: unknown): number {
  if (typeof value === 'string') return value.length + 2
  if (typeof value !== 'object' || value === null) return 8
  if (Array.isArray(value)) return value.reduce((sum: number, one) => sum + lengthOf(one) + 1, 2)
  return Object.entries(value).reduce((sum, [name, one]) => sum + name.length + 4 + lengthOf(one), 2)
}
