/** Solved examples come from another file than the questions: the one that lies beside it in the data set as published. */
import { access } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { OneroundError } from '../../errors.js'

/**
 * @param beside where it should be, from the folder of the questions
 * @throws OneroundError NOT_FOUND
 */
export async function shotsFile(questions: string, beside: string): Promise<string> {
  const path = join(dirname(questions), beside)
  try {
    await access(path)
    return path
  } catch (cause) {
    throw new OneroundError('NOT_FOUND', `The file with solved examples for ${basename(questions)} is not there.`, {
      found: 'no such file',
      expected: path,
      fix: 'Put it there, or ask for no solved examples (--shots 0).',
      cause,
    })
  }
}

/** @throws OneroundError MALFORMED where a file has fewer than were asked for */
export function firstShots(rows: readonly string[], count: number, path: string): string[] {
  if (rows.length >= count) return rows.slice(0, count)
  throw new OneroundError('MALFORMED', `${path} has too few solved examples.`, {
    found: String(rows.length),
    expected: `at least ${count}`,
    fix: 'Ask for fewer (--shots).',
  })
}
