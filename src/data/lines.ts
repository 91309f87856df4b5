/** A file's text, read in bounded pieces and hashed on the way: the digest is of the very bytes that were used. */
import { createHash } from 'node:crypto'
import { type FileHandle, open } from 'node:fs/promises'
import { TextDecoder } from 'node:util'
import { OneroundError } from '../errors.js'
import type { Slices } from './slices.js'
import { MAX_FILE_BYTES } from './sources.js'

const PIECE_BYTES = 2 ** 18

/** A longer line is refused before it is gathered; a row of a book's length still fits. */
export const MAX_LINE_BYTES = 2 ** 22

/** A plain-text file is one document in memory; about eight million tokens. */
const MAX_TEXT_BYTES = 2 ** 25

const NEWLINE = 0x0a
const BYTE_ORDER_MARK = '\ufeff'

/**
 * Hands each line to `take` with its number, from 1, without its line end (LF or CRLF) and without a byte order mark.
 * @returns the file's SHA-256, hexadecimal
 * @throws OneroundError MALFORMED with file and line: not UTF-8, or longer than MAX_LINE_BYTES; IO
 */
export async function readLines(
  path: string,
  slices: Slices,
  take: (line: string, number: number) => Promise<void>,
): Promise<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  let number = 0
  let pending: Buffer[] = []
  let pendingBytes = 0
  const endLine = async (): Promise<void> => {
    number++
    if (slices.due()) await slices.turn()
    const bytes = Buffer.concat(pending)
    pending = []
    pendingBytes = 0
    await take(decodeLine(decoder, bytes, path, number), number)
  }
  const sha256 = await readPieces(path, MAX_FILE_BYTES, async (piece) => {
    let start = 0
    while (start < piece.length) {
      const found = piece.indexOf(NEWLINE, start)
      const end = found < 0 ? piece.length : found
      pendingBytes += end - start
      if (pendingBytes > MAX_LINE_BYTES) {
        throw malformed(path, number + 1, 'the line is too long', {
          found: `more than ${MAX_LINE_BYTES} bytes`,
          expected: `lines of at most ${MAX_LINE_BYTES} bytes`,
          fix: 'Write one row a line, and cut longer documents.',
        })
      }
      // the piece's memory is used again for the next one
      pending.push(Buffer.from(piece.subarray(start, end)))
      if (found >= 0) await endLine()
      start = end + 1
    }
  })
  if (pendingBytes > 0) await endLine()
  return sha256
}

function decodeLine(decoder: TextDecoder, bytes: Buffer, path: string, number: number): string {
  let line: string
  try {
    line = decoder.decode(bytes)
  } catch (cause) {
    throw malformed(path, number, 'the line is not UTF-8', {
      found: bytes[0] === 0xff || bytes[0] === 0xfe ? 'bytes that look like UTF-16' : 'bytes that are not UTF-8',
      expected: 'UTF-8',
      fix: 'Save the file as UTF-8.',
      cause,
    })
  }
  if (number === 1 && line.startsWith(BYTE_ORDER_MARK)) line = line.slice(1)
  return line.endsWith('\r') ? line.slice(0, -1) : line
}

/**
 * A whole plain-text file; line ends become LF, a byte order mark is dropped.
 * @throws OneroundError MALFORMED: not UTF-8, NUL characters, or larger than MAX_TEXT_BYTES; IO
 */
export async function readText(path: string, slices: Slices): Promise<{ text: string; sha256: string }> {
  const decoder = new TextDecoder('utf-8', { fatal: true })
  const pieces: string[] = []
  let carriageReturn = false
  const add = (bytes?: Uint8Array): void => {
    let piece: string
    try {
      piece = bytes ? decoder.decode(bytes, { stream: true }) : decoder.decode()
    } catch (cause) {
      throw new OneroundError('MALFORMED', `${path} is not UTF-8 text.`, {
        expected: 'UTF-8',
        fix: 'Save the file as UTF-8 plain text.',
        cause,
      })
    }
    if (piece.includes('\0')) {
      throw new OneroundError('MALFORMED', `${path} is not plain text.`, {
        found: 'NUL characters',
        expected: 'text',
        fix: 'Give a text file; export other formats as plain text first.',
      })
    }
    // a CRLF may lie across two pieces: its first half waits for the second
    if (carriageReturn) piece = `\r${piece}`
    carriageReturn = bytes !== undefined && piece.endsWith('\r')
    if (carriageReturn) piece = piece.slice(0, -1)
    pieces.push(piece.replace(/\r\n?/g, '\n'))
  }
  const sha256 = await readPieces(path, MAX_TEXT_BYTES, async (piece) => {
    if (slices.due()) await slices.turn()
    add(piece)
  })
  add()
  return { text: pieces.join(''), sha256 }
}

/**
 * A file's bytes in pieces; a piece's memory is used again for the next one.
 * @returns the file's SHA-256
 */
export async function readPieces(path: string, most: number, take: (piece: Buffer) => Promise<void>): Promise<string> {
  const hash = createHash('sha256')
  const buffer = Buffer.allocUnsafe(PIECE_BYTES)
  let total = 0
  let file: FileHandle | undefined
  try {
    file = await open(path, 'r')
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, PIECE_BYTES)
      if (bytesRead === 0) break
      total += bytesRead
      // the size that was looked at before may have grown
      if (total > most) {
        throw new OneroundError('MALFORMED', `${path} is too large.`, {
          found: `more than ${most} bytes`,
          expected: `at most ${most} bytes`,
          fix: 'Split it into several files, or take a sample of it.',
        })
      }
      const piece = buffer.subarray(0, bytesRead)
      hash.update(piece)
      await take(piece)
    }
  } catch (error) {
    if (error instanceof OneroundError) throw error
    throw new OneroundError('IO', `${path} could not be read.`, {
      found: error instanceof Error ? error.message : String(error),
      fix: 'Check the path, the right to read it and the disk.',
      cause: error,
    })
  } finally {
    await file?.close()
  }
  return hash.digest('hex')
}

/** A refusal that says where: file and line. It never quotes the row, which may be private. */
export function malformed(
  path: string,
  line: number,
  what: string,
  detail: ConstructorParameters<typeof OneroundError>[2],
): OneroundError {
  return new OneroundError('MALFORMED', `${path}, line ${line}: ${what}.`, detail)
}
