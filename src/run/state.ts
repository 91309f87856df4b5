/** state.json of a run folder: what is finished. A file counts as finished when its digest stands here and still holds. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { z } from 'zod'
import { OneroundError } from '../errors.js'
import { isCode, writeAtomic } from './atomic.js'

const stateSchema = z.strictObject({
  version: z.literal(1),
  /** path inside the run folder, with `/`, -> what it must still be */
  files: z.record(
    z.string(),
    z.strictObject({ sha256: z.string().regex(/^[0-9a-f]{64}$/), bytes: z.number().int().min(0) }),
  ),
  /** finished results that are not files, e.g. the scores of an arm; any JSON */
  results: z.record(z.string(), z.json()),
})

export type RunState = z.output<typeof stateSchema>

export async function readState(file: string): Promise<RunState> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    if (isCode(error, 'ENOENT')) return { version: 1, files: {}, results: {} }
    throw error
  }
  try {
    return stateSchema.parse(JSON.parse(text))
  } catch (cause) {
    throw new OneroundError('MALFORMED', `${file} is not the state of a run.`, {
      expected: 'JSON with version 1, files and results',
      fix: 'Start the run in a new folder.',
      cause,
    })
  }
}

export async function writeState(file: string, state: RunState): Promise<void> {
  await writeAtomic(file, `${JSON.stringify(state, undefined, 2)}\n`)
}

/** SHA-256 and length of a file, read in pieces; undefined where it is absent. */
export async function fileDigest(file: string): Promise<{ sha256: string; bytes: number } | undefined> {
  const hash = createHash('sha256')
  let bytes = 0
  try {
    for await (const piece of createReadStream(file, { highWaterMark: 1 << 20 })) {
      const chunk = piece as Buffer
      hash.update(chunk)
      bytes += chunk.length
    }
  } catch (error) {
    if (isCode(error, 'ENOENT', 'EISDIR')) return undefined
    throw error
  }
  return { sha256: hash.digest('hex'), bytes }
}
