/**
 * The program of the process that decodes a Parquet file (see read.ts): a request for each portion of rows, and an answer
 * to each. A process, not a worker thread: an array that grows too far ends V8 with all its threads, whatever limits
 * a worker has.
 */
import { OneroundError } from '../../errors.js'
import { MAX_LINE_BYTES } from '../lines.js'
import { type ParquetRow, portions, readGroups } from './rows.js'

export interface Request {
  path: string
  needed: string[]
}
export type Answer = { rows: ParquetRow[] } | { end: true } | { error: Failure }
export interface Failure {
  code: string
  message: string
  found?: string | undefined
  expected?: string | undefined
  fix?: string | undefined
}

let source: AsyncGenerator<ParquetRow[]> | undefined

async function* all({ path, needed }: Request): AsyncGenerator<ParquetRow[]> {
  for await (const group of readGroups(path, needed)) yield* portions(group, MAX_LINE_BYTES, path)
}

async function answer(request: Request): Promise<Answer> {
  try {
    source ??= all(request)
    const { value, done } = await source.next()
    return done === true ? { end: true } : { rows: value }
  } catch (error) {
    if (!(error instanceof OneroundError)) return { error: { code: 'IO', message: String(error) } }
    const { code, message, found, expected, fix } = error
    return { error: { code, message, found, expected, fix } }
  }
}

process.on('message', async (request: Request) => {
  process.send?.(await answer(request))
})
process.on('disconnect', () => process.exit())
