/**
 * metrics.jsonl: one event a line, appended. A line is written in one call, so a killed process can tear only the
 * last one; a torn last line is left out when reading and cut off before anything is appended after it.
 */
import { open, readFile, truncate } from 'node:fs/promises'
import { OneroundError } from '../errors.js'
import { isCode } from './atomic.js'

/** What happened; all further fields belong to the event. Values are JSON. */
export interface MetricEvent {
  event: string
  /** when it was written, ISO 8601 in UTC */
  time?: string
  [field: string]: unknown
}

export interface Metrics {
  /** Adds one line; lines come in the order of the calls. `time` is set where the event has none. */
  append(event: MetricEvent): Promise<void>
  /** Waits for what was appended and makes it durable. May be called twice. */
  close(): Promise<void>
}

/** All whole lines of a metrics file; none where the file is absent. */
export async function readMetrics(file: string): Promise<{ events: MetricEvent[]; torn: boolean }> {
  const text = await readText(file)
  const end = text.lastIndexOf('\n') + 1
  const events = text
    .slice(0, end)
    .split('\n')
    .flatMap((line, index) => (line === '' ? [] : [parseLine(line, index + 1, file)]))
  return { events, torn: end < text.length }
}

/** Opens a metrics file for appending; a torn last line is cut off first. */
export async function openMetrics(file: string): Promise<Metrics> {
  const text = await readText(file)
  const end = text.lastIndexOf('\n') + 1
  if (end < text.length) await truncate(file, Buffer.byteLength(text.slice(0, end)))
  const handle = await open(file, 'a')
  let queue: Promise<void> = Promise.resolve()
  let closed: Promise<void> | undefined
  return {
    append(event) {
      if (closed !== undefined) {
        return Promise.reject(
          new OneroundError('CLOSED', `${file} was closed before the event '${event.event}'.`, {
            fix: 'Append before close().',
          }),
        )
      }
      const line = `${JSON.stringify({ time: new Date().toISOString(), ...event })}\n`
      const written = queue.then(async () => {
        await handle.appendFile(line)
      })
      // A failed line is told to its own caller; the ones behind it still get their turn.
      queue = written.catch(() => undefined)
      return written
    },
    close() {
      closed ??= queue.then(async () => {
        await handle.sync()
        await handle.close()
      })
      return closed
    },
  }
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    if (isCode(error, 'ENOENT')) return ''
    throw error
  }
}

function parseLine(line: string, number: number, file: string): MetricEvent {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    value = undefined
  }
  if (typeof value !== 'object' || value === null || !('event' in value) || typeof value.event !== 'string') {
    throw new OneroundError('MALFORMED', `Line ${number} of ${file} is not an event.`, {
      found: line.slice(0, 80),
      expected: 'a JSON object with a text field "event"',
      fix: 'Take the line out, or start the run in a new folder.',
    })
  }
  return value as MetricEvent
}
