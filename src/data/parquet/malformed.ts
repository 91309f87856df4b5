import { OneroundError } from '../../errors.js'

/** A file that is not what it claims to be. It quotes no value: a row may be private. */
export function malformedParquet(path: string, found: string, expected: string): OneroundError {
  return new OneroundError('MALFORMED', `${path} is not a sound Parquet file.`, {
    found,
    expected,
    fix: 'Write or download the file again; a truncated download ends like this.',
  })
}
