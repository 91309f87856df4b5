import { open } from 'node:fs/promises'
import { OneroundError } from '../errors.js'

/** The error for a file that the system would not open or read; what is not there is NOT_FOUND, all else IO. */
export function fileError(file: string, cause: unknown): OneroundError {
  const code = errorCode(cause)
  const missing = code === 'ENOENT' || code === 'ENOTDIR'
  return new OneroundError(missing ? 'NOT_FOUND' : 'IO', `${file} cannot be read`, {
    found: missing ? 'no such file' : code,
    expected: 'a readable file',
    fix: missing ? 'Check the path.' : 'Check the path and its permissions.',
    cause,
  })
}

function errorCode(cause: unknown): string {
  return cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause)
}

/**
 * A whole small file. Its size is looked at before anything is allocated, because these files come from others.
 * @param limit most bytes that such a file may have
 * @param room gives memory for so many bytes, where the caller has some; called once the size is within the limit
 * @returns undefined where there is no such file
 */
export async function readBoundedFile(file: string, limit: number): Promise<Buffer | undefined>
export async function readBoundedFile(
  file: string,
  limit: number,
  room: ((bytes: number) => Uint8Array) | undefined,
): Promise<Uint8Array | undefined>
export async function readBoundedFile(
  file: string,
  limit: number,
  room: (bytes: number) => Uint8Array = Buffer.alloc,
): Promise<Uint8Array | undefined> {
  let handle: Awaited<ReturnType<typeof open>>
  try {
    handle = await open(file, 'r')
  } catch (cause) {
    const error = fileError(file, cause)
    if (error.code === 'NOT_FOUND') return undefined
    throw error
  }
  try {
    const stat = await handle.stat()
    if (!stat.isFile()) {
      throw new OneroundError('MALFORMED', `${file} is not a file`, {
        found: stat.isDirectory() ? 'a folder' : 'something that is not a plain file',
        expected: 'a file',
        fix: 'Check what lies under this name.',
      })
    }
    if (stat.size > limit) {
      throw new OneroundError('MALFORMED', `${file} is larger than a file of this kind may be`, {
        found: `${stat.size} bytes`,
        expected: `at most ${limit} bytes`,
        fix: 'Check that it is the file it is named after.',
      })
    }
    const bytes = room(stat.size)
    await readInto(handle, bytes, 0, file)
    return bytes
  } catch (cause) {
    throw cause instanceof OneroundError ? cause : fileError(file, cause)
  } finally {
    await handle.close()
  }
}

/** The part of an open file that a reader needs to see. */
export interface ReadableHandle {
  read(buffer: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesRead: number }>
}

/** Fills `into` from `position`; a file that ends sooner than its size said is refused. */
export async function readInto(
  handle: ReadableHandle,
  into: Uint8Array,
  position: number,
  file: string,
): Promise<void> {
  let done = 0
  while (done < into.length) {
    const { bytesRead } = await handle.read(into, done, into.length - done, position + done)
    if (bytesRead === 0) {
      throw new OneroundError('IO', `${file} became shorter while it was read`, {
        found: `end of file at ${position + done}`,
        expected: `bytes up to ${position + into.length}`,
        fix: 'Let no other program write the file and try again.',
      })
    }
    done += bytesRead
  }
}

/** The caller has compared `length` with the file's size before. */
export async function readExactly(
  handle: ReadableHandle,
  position: number,
  length: number,
  file: string,
): Promise<Buffer> {
  const buffer = Buffer.alloc(length)
  await readInto(handle, buffer, position, file)
  return buffer
}

/** A JSON file that must hold one object. */
export function parseJsonObject(bytes: Uint8Array, file: string): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw new OneroundError('MALFORMED', `${file} is not JSON`, {
      found: cause instanceof Error ? cause.message : String(cause),
      expected: 'one JSON object in UTF-8',
      fix: 'Download or write the file again.',
      cause,
    })
  }
  if (!isRecord(value)) {
    throw new OneroundError('MALFORMED', `${file} does not hold a JSON object`, {
      found: value === null ? 'null' : Array.isArray(value) ? 'an array' : `a ${typeof value}`,
      expected: 'one JSON object',
      fix: 'Download or write the file again.',
    })
  }
  return value
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
