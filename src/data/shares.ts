/** How unlike the clients are: which labels each holds, and a histogram that a terminal can show. */
import type { Dataset } from './dataset.js'
import { fieldOf } from './partition.js'

interface LabelShares {
  field: string
  /** the most common first; with more than `most` labels the last is `others` for the rest of them */
  labels: string[]
  clients: {
    client: string
    examples: number
    /** one a label, in their order */
    counts: number[]
    /** total variation distance of the client's labels from all clients' together: 0 alike, near 1 nothing in common */
    distance: number
  }[]
}

/**
 * @param most labels that are told apart
 * @throws OneroundError NOT_FOUND where an example has no value in the field
 */
export function labelShares(clients: Record<string, Dataset>, field: string, most = 8): LabelShares {
  const perClient = Object.entries(clients).map(([client, data]) => {
    const counts = new Map<string, number>()
    for (const [i, example] of data.examples.entries()) {
      const label = fieldOf(example, field, i)
      counts.set(label, (counts.get(label) ?? 0) + 1)
    }
    return { client, examples: data.count, counts }
  })
  const all = new Map<string, number>()
  for (const { counts } of perClient) {
    for (const [label, count] of counts) all.set(label, (all.get(label) ?? 0) + count)
  }
  const total = perClient.reduce((sum, { examples }) => sum + examples, 0)
  const ordered = [...all].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).map(([label]) => label)
  const shown = ordered.slice(0, ordered.length > most ? most - 1 : most)
  const rest = ordered.slice(shown.length)
  return {
    field,
    labels: rest.length === 0 ? shown : [...shown, 'others'],
    clients: perClient.map(({ client, examples, counts }) => {
      const told = shown.map((label) => counts.get(label) ?? 0)
      const others = examples - told.reduce((a, b) => a + b, 0)
      const distance = ordered.reduce(
        (sum, label) => sum + Math.abs((counts.get(label) ?? 0) / examples - (all.get(label) ?? 0) / total) / 2,
        0,
      )
      return { client, examples, counts: rest.length === 0 ? told : [...told, others], distance }
    }),
  }
}

const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'] as const

/** A bar of at most `width` characters, in eighths of one; a value above 0 always shows. */
export function bar(value: number, largest: number, width = 24): string {
  if (!(value > 0) || !(largest > 0)) return ''
  const eighths = Math.max(1, Math.round((Math.min(value, largest) / largest) * width * 8))
  return '█'.repeat(Math.floor(eighths / 8)) + EIGHTHS[eighths % 8]
}

interface LengthBin {
  /** tokens, both included */
  from: number
  to: number
  examples: number
}

/** Examples by their length in tokens: at most `bins` ranges of one width, from the shortest to the longest. */
export function lengthHistogram(clients: Record<string, Dataset>, bins = 8): LengthBin[] {
  const lengths = Object.values(clients).flatMap((data) => data.examples.map(({ ids }) => ids.length))
  if (lengths.length === 0) return []
  const least = lengths.reduce((a, b) => Math.min(a, b))
  const most = lengths.reduce((a, b) => Math.max(a, b))
  const width = Math.max(1, Math.ceil((most - least + 1) / bins))
  const counts = Array.from({ length: Math.floor((most - least) / width) + 1 }, () => 0)
  for (const length of lengths) {
    const at = Math.floor((length - least) / width)
    counts[at] = (counts[at] ?? 0) + 1
  }
  return counts.map((examples, i) => ({ from: least + i * width, to: least + (i + 1) * width - 1, examples }))
}
