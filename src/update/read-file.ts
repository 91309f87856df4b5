import { OneroundError } from '../errors.js'
import { readBoundedFile } from '../text/bounded-file.js'

/** A whole file that must be there; its size is looked at before anything is allocated. */
export async function readBytes(
  file: string,
  limit: number,
  room?: (bytes: number) => Uint8Array,
): Promise<Uint8Array> {
  const bytes = await readBoundedFile(file, limit, room)
  if (bytes !== undefined) return bytes
  throw new OneroundError('NOT_FOUND', `${file} is not there.`, {
    found: 'no such file',
    expected: 'a readable file',
    fix: 'Check the path.',
  })
}

/** The same as text; bytes that are not UTF-8 are refused. */
export async function readText(file: string, limit: number): Promise<string> {
  const bytes = await readBytes(file, limit)
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw new OneroundError('MALFORMED', `${file} is not UTF-8 text.`, {
      expected: 'JSON',
      fix: 'Check that this is the right file.',
      cause,
    })
  }
}
