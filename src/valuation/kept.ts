/**
 * Losses of coalitions that were evaluated, in a file that a later call goes on with: one line a coalition, appended when
 * it is known, so that a killed process loses the one it was at. A file belongs to one game (plan, round, start, updates,
 * weights, text) and is refused for another one.
 */
import { mkdir, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { z } from 'zod'
import { OneroundError } from '../errors.js'
import { isCode } from '../run/atomic.js'
import { type Metrics, openMetrics, readMetrics } from '../run/metrics.js'
import type { Coalition } from './coalition.js'

/** Bytes of such a file: a hundred thousand coalitions of a hundred clients. */
const MOST_BYTES = 64 * 2 ** 20

export interface Kept {
  get(coalition: Coalition): Float64Array | undefined
  /** @param losses summed loss of each part, nats */
  keep(coalition: Coalition, losses: Float64Array): Promise<void>
  close(): Promise<void>
}

/** What the lines of a file are about. */
interface Game {
  /** digest of everything that the losses depend on */
  sha256: string
  clients: readonly string[]
  parts: number
}

/** Nothing outlives the process. */
export function keptInMemory(): Kept {
  const known = new Map<Coalition, Float64Array>()
  return {
    get: (coalition) => known.get(coalition),
    keep: async (coalition, losses) => void known.set(coalition, losses),
    close: async () => undefined,
  }
}

/** Goes on with a file, or starts one. @throws OneroundError MALFORMED, MISMATCH (another game) */
export async function keptInFile(file: string, game: Game): Promise<Kept> {
  await mkdir(dirname(file), { recursive: true })
  await checkSize(file)
  const { events } = await readMetrics(file)
  const known = readLosses(file, events, game)
  const metrics: Metrics = await openMetrics(file)
  if (events.length === 0)
    await metrics.append({ event: 'game', sha256: game.sha256, clients: [...game.clients], parts: game.parts })
  return {
    get: (coalition) => known.get(coalition),
    async keep(coalition, losses) {
      known.set(coalition, losses)
      await metrics.append({ event: 'coalition', coalition, losses: [...losses] })
    },
    close: () => metrics.close(),
  }
}

async function checkSize(file: string): Promise<void> {
  const size = await stat(file).then(
    (found) => (found.isFile() ? found.size : Number.POSITIVE_INFINITY),
    (error: unknown) => {
      if (isCode(error, 'ENOENT')) return 0
      throw error
    },
  )
  if (size <= MOST_BYTES) return
  throw malformed(
    file,
    Number.isFinite(size) ? `${size} bytes` : 'something that is not a file',
    `a file of at most ${MOST_BYTES} bytes`,
  )
}

function readLosses(file: string, events: readonly object[], game: Game): Map<Coalition, Float64Array> {
  const known = new Map<Coalition, Float64Array>()
  const [first, ...lines] = events
  if (first === undefined) return known
  const header = z.object({ event: z.literal('game'), sha256: z.string().max(64) }).safeParse(first)
  if (!header.success) throw malformed(file, JSON.stringify(first).slice(0, 120), 'the game in the first line')
  if (header.data.sha256 !== game.sha256) {
    throw new OneroundError('MISMATCH', `${file} holds coalitions of another game.`, {
      found: header.data.sha256,
      expected: game.sha256,
      fix: 'Delete the file: updates, weights or text have changed since.',
    })
  }
  const line = z.object({
    event: z.literal('coalition'),
    coalition: z
      .string()
      .length(game.clients.length)
      .regex(/^[01]+$/),
    losses: z.array(z.number().min(0)).length(game.parts),
  })
  for (const [i, event] of lines.entries()) {
    const parsed = line.safeParse(event)
    const where = `line ${i + 2}: ${JSON.stringify(event).slice(0, 120)}`
    if (!parsed.success)
      throw malformed(file, where, `a coalition of ${game.clients.length} clients and ${game.parts} losses`)
    const { coalition, losses } = parsed.data
    if (known.has(coalition)) throw malformed(file, where, 'every coalition once')
    known.set(coalition, Float64Array.from(losses))
  }
  return known
}

function malformed(file: string, found: string, expected: string): OneroundError {
  return new OneroundError('MALFORMED', `${file} does not hold losses of coalitions.`, {
    found,
    expected,
    fix: 'Delete the file; the coalitions are then evaluated again.',
  })
}
