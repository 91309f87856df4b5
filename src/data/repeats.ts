/** Held-out rows that were trained on: they are learned by heart, and make every arm look better than it is. */
import { createHash } from 'node:crypto'
import { OneroundError } from '../errors.js'
import { type Dataset, type Example, makeDataset } from './dataset.js'

export interface Repeats {
  client: string
  /** held-out examples */
  heldOut: number
  /** of these, with the very tokens of an example that some client trains on */
  repeated: number
  /** of the repeated, with those of an example of the client's own */
  own: number
}

/**
 * How many held-out examples repeat a training example, token by token: one row a client, in the order of the record.
 * @param fraction that is held out of each client's examples; with 0 nothing is
 */
export function countRepeats(clients: Record<string, Dataset>, fraction: number): Repeats[] {
  const parts = partsOf(clients, fraction)
  const trained = trainedOf(parts)
  return parts.map(({ client, train, heldOut }) => {
    const own = trainedOf([{ train }])
    const digests = heldOut.examples.map(digestOf)
    return {
      client,
      heldOut: digests.length,
      repeated: digests.filter((digest) => trained.has(digest)).length,
      own: digests.filter((digest) => own.has(digest)).length,
    }
  })
}

/**
 * The same clients without the held-out examples that any client trains on. What is trained on stays as it is: the
 * boundary between the parts is kept, so heldOut() with this fraction gives the same training part as before.
 * @throws OneroundError ARGUMENT where a client would have nothing left to be judged by
 */
export function dropRepeats(clients: Record<string, Dataset>, fraction: number): Record<string, Dataset> {
  const parts = partsOf(clients, fraction)
  const trained = trainedOf(parts)
  return Object.fromEntries(
    parts.map(({ client, data, train, heldOut }) => {
      const kept = heldOut.examples.filter((example) => !trained.has(digestOf(example)))
      if (kept.length === heldOut.count) return [client, data]
      if (kept.length === 0) {
        throw new OneroundError('ARGUMENT', `Nothing is left to judge client '${client}' by.`, {
          found: `${heldOut.count} held-out examples, all of them also trained on`,
          expected: 'at least one that no client trains on',
          fix: 'Remove the repetitions from the data, or hold out a larger part.',
        })
      }
      const boundary = { fraction, train: train.count }
      return [client, makeDataset([...train.examples, ...kept], data.files, data.leftOut, boundary)]
    }),
  )
}

interface Parts {
  client: string
  data: Dataset
  train: Dataset
  heldOut: Dataset
}

function partsOf(clients: Record<string, Dataset>, fraction: number): Parts[] {
  return Object.entries(clients).map(([client, data]) => ({ client, data, ...data.heldOut(fraction) }))
}

function trainedOf(parts: readonly { train: Dataset }[]): Set<string> {
  return new Set(parts.flatMap(({ train }) => train.examples.map(digestOf)))
}

/** of the token ids; what is trained of them makes no difference to what can be learned by heart */
function digestOf({ ids }: Example): string {
  return createHash('sha256')
    .update(new Uint8Array(ids.buffer, ids.byteOffset, ids.byteLength))
    .digest('base64')
}
