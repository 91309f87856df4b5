/** JSON that others wrote: its size, its syntax and its schema, each refused by file, place, value and what to do. */
import type { z } from 'zod'
import { OneroundError } from '../errors.js'
import { readText } from './read-file.js'
import { schemaError } from './schema-error.js'

/** @throws OneroundError NOT_FOUND, IO, MALFORMED, UNSUPPORTED (a value that another version may know) */
export async function readJson<Schema extends z.ZodType>(
  file: string,
  limit: number,
  schema: Schema,
  fix: string,
): Promise<z.output<Schema>> {
  return checkJson(schema, jsonOf(await readText(file, limit), file, fix), file, fix)
}

/** @throws OneroundError MALFORMED, UNSUPPORTED */
export function checkJson<Schema extends z.ZodType>(
  schema: Schema,
  json: unknown,
  source: string,
  fix: string,
): z.output<Schema> {
  const result = schema.safeParse(json)
  if (result.success) return result.data
  throw schemaError(source, result.error.issues, json, fix)
}

/** @throws OneroundError MALFORMED */
export function jsonOf(text: string, source: string, fix: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new OneroundError('MALFORMED', `${source} is not JSON.`, {
      found: text.slice(0, 60),
      expected: 'JSON',
      fix,
      cause,
    })
  }
}
