/**
 * A .json file of rows: one list of objects, or objects one after another. Only the places of braces, brackets, commas and
 * quotes are followed here, byte by byte; each object is parsed alone, so that a file is never in memory as a whole.
 */
import { TextDecoder } from 'node:util'
import type { OneroundError } from '../errors.js'
import { MAX_LINE_BYTES, malformed, readPieces } from './lines.js'
import type { Slices } from './slices.js'
import { MAX_FILE_BYTES } from './sources.js'

const NEWLINE = 0x0a
const QUOTE = 0x22
const COMMA = 0x2c
const OPEN_LIST = 0x5b
const BACKSLASH = 0x5c
const CLOSE_LIST = 0x5d
const OPEN = 0x7b
const CLOSE = 0x7d
const BYTE_ORDER_MARK = [0xef, 0xbb, 0xbf] as const

/** What may come next outside of an object. */
type Place = 'start' | 'first' | 'comma' | 'object' | 'loose' | 'end'

/**
 * Hands the text of each object to `take` with the line it begins in, from 1.
 * @returns the file's SHA-256, hexadecimal
 * @throws OneroundError MALFORMED with file and line; IO
 */
export async function readJson(
  path: string,
  slices: Slices,
  take: (text: string, line: number) => Promise<void>,
): Promise<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  let place: Place = 'start'
  let line = 1
  let seen = 0
  let depth = 0
  let inText = false
  let escaped = false
  let began = 1
  let pending: Buffer[] = []
  let pendingBytes = 0

  const gather = (piece: Buffer): void => {
    pendingBytes += piece.length
    if (pendingBytes > MAX_LINE_BYTES) {
      throw malformed(path, began, 'the row is too long', {
        found: `more than ${MAX_LINE_BYTES} bytes`,
        expected: `rows of at most ${MAX_LINE_BYTES} bytes`,
        fix: 'Cut longer documents, and check that the file holds a list of rows.',
      })
    }
    pending.push(Buffer.from(piece))
  }
  const finish = async (): Promise<void> => {
    const bytes = Buffer.concat(pending)
    pending = []
    pendingBytes = 0
    if (slices.due()) await slices.turn()
    let text: string
    try {
      text = decoder.decode(bytes)
    } catch (cause) {
      throw malformed(path, began, 'the row is not UTF-8', {
        expected: 'UTF-8',
        fix: 'Save the file as UTF-8.',
        cause,
      })
    }
    await take(text, began)
  }
  /** One byte between objects. @returns true where an object begins */
  const between = (byte: number): boolean => {
    if (seen < 3 && byte === BYTE_ORDER_MARK[seen]) return false
    if (byte === NEWLINE || byte === 0x20 || byte === 0x09 || byte === 0x0d) return false
    if (byte === OPEN && place !== 'comma' && place !== 'end') {
      place = place === 'start' || place === 'loose' ? 'loose' : 'comma'
      return true
    }
    if (byte === OPEN_LIST && place === 'start') place = 'first'
    else if (byte === COMMA && place === 'comma') place = 'object'
    else if (byte === CLOSE_LIST && (place === 'first' || place === 'comma')) place = 'end'
    else throw notRows(path, line, EXPECTED[place])
    return false
  }

  const sha256 = await readPieces(path, MAX_FILE_BYTES, async (piece) => {
    let from = 0
    for (let at = 0; at < piece.length; at++, seen++) {
      const byte = piece[at] as number
      if (depth === 0) {
        if (between(byte)) {
          depth = 1
          began = line
          from = at
        }
      } else if (inText) {
        if (escaped) escaped = false
        else if (byte === BACKSLASH) escaped = true
        else if (byte === QUOTE) inText = false
      } else if (byte === QUOTE) inText = true
      else if (byte === OPEN || byte === OPEN_LIST) depth++
      else if (byte === CLOSE || byte === CLOSE_LIST) {
        depth--
        if (depth === 0) {
          gather(piece.subarray(from, at + 1))
          await finish()
        }
      }
      if (byte === NEWLINE) line++
    }
    if (depth > 0) gather(piece.subarray(from))
  })
  if (depth > 0) throw notRows(path, began, 'the end of the row that begins here')
  // through a call, because the closures above change it
  if (unfinished(place)) throw notRows(path, line, EXPECTED[place])
  return sha256
}

function unfinished(place: Place): boolean {
  return place === 'first' || place === 'comma' || place === 'object'
}

const EXPECTED: Readonly<Record<Place, string>> = {
  start: 'a list of objects, or objects one after another',
  first: 'an object, or the end of the list',
  comma: 'a comma and another object, or the end of the list',
  object: 'an object',
  loose: 'another object',
  end: 'the end of the file',
}

function notRows(path: string, line: number, expected: string): OneroundError {
  return malformed(path, line, 'the file is not a list of JSON objects', {
    expected,
    fix: 'Write the rows as [{...}, {...}] or as JSON Lines; a truncated download ends like this.',
  })
}
