/** What each client holds, as data for a table. */
import type { Dataset } from './dataset.js'

interface ClientSize {
  client: string
  examples: number
  /** trained tokens */
  tokens: number
  /** examples cut at the cutoff */
  cut: number
  /** this client's part of all trained tokens, 0 to 1 */
  share: number
}

/** One row a client, in the order of the record. */
export function sizes(clients: Record<string, Dataset>): ClientSize[] {
  const all = Object.values(clients).reduce((sum, data) => sum + data.tokens, 0)
  return Object.entries(clients).map(([client, data]) => ({
    client,
    examples: data.count,
    tokens: data.tokens,
    cut: data.cut,
    share: all === 0 ? 0 : data.tokens / all,
  }))
}
