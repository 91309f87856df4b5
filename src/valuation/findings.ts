/** Rules that point at clients to look at. They find what they say and nothing else: no rule proves an intention. */
import type { ClientValue, Finding } from './valuation.js'

/** Copies that were trained apart, on the same data with the same seed, agree to rounding; independent ones stay far below. */
const SAME_DIRECTION = 0.999

/** @param alike cosines of all updates, [m, m] in the order of the values */
export function findingsOf(values: readonly ClientValue[], alike: Float64Array): Finding[] {
  return [...values.flatMap(ofValue), ...duplicates(values, alike)]
}

function ofValue({ client, interval }: ClientValue): Finding[] {
  if (interval === undefined) return []
  const [low, high] = interval
  if (high < 0)
    return [
      { rule: 'harms', clients: [client], text: `${client} raises the held-out loss: its whole interval is below 0.` },
    ]
  if (low <= 0)
    return [
      {
        rule: 'no-value',
        clients: [client],
        text: `${client} cannot be told from a client without value: its interval holds 0.`,
      },
    ]
  return []
}

function duplicates(values: readonly ClientValue[], alike: Float64Array): Finding[] {
  const m = values.length
  return values.flatMap(({ client }, i) =>
    values.slice(0, i).flatMap((other, j): Finding[] => {
      const cosine = alike[i * m + j] ?? 0
      if (cosine < SAME_DIRECTION) return []
      const text = `${other.client} and ${client} sent the same direction, cosine ${cosine.toFixed(4)}: the same data may be paid twice.`
      return [{ rule: 'duplicate', clients: [other.client, client], text }]
    }),
  )
}
