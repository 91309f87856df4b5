/** Data beside a run folder, which keeps digests of its clients' data and never the data. */
import { type Dataset, makeDataset } from '../data/dataset.js'
import { OneroundError } from '../errors.js'
import { dataDigest } from '../train/train.js'
import type { Plan } from '../update/plan.js'

/**
 * The text that a run may be judged on: of a part that is a client's own data only what the client held out; of all
 * others everything. That a part overlaps with training data without being them cannot be seen.
 * @param mustBeOwn refuse what is no client's data
 * @param results the run's state: `data/CLIENT` holds the digest of the client's examples
 */
export function heldOutOf(
  plan: Plan,
  results: Readonly<Record<string, unknown>>,
  data: Record<string, Dataset>,
  mustBeOwn = false,
): { data: Dataset; own: string[] } {
  const known = new Set(
    Object.entries(results).flatMap(([key, digest]) => (key.startsWith('data/') ? [String(digest)] : [])),
  )
  const own: string[] = []
  const parts = Object.keys(data)
    .sort()
    .map((name) => {
      const part = data[name] as Dataset
      if (!known.has(dataDigest(part))) {
        if (mustBeOwn) throw notOwn(name)
        return part
      }
      own.push(name)
      if (plan.data.heldOut === 0) throw nothingHeldOut(name)
      return part.heldOut(plan.data.heldOut).heldOut
    })
  return {
    data: makeDataset(
      parts.flatMap(({ examples }) => examples),
      parts.flatMap(({ files }) => files),
    ),
    own,
  }
}

function nothingHeldOut(name: string): OneroundError {
  return new OneroundError('ARGUMENT', `'${name}' is what a client trained on, and the plan holds nothing out.`, {
    found: 'training data',
    expected: 'text that no client has seen',
    fix: 'Give other data (--data).',
  })
}

function notOwn(name: string): OneroundError {
  return new OneroundError('MISMATCH', `'${name}' is not the data of a client of this run.`, {
    found: 'other examples, another split or dropped repeats',
    expected: 'exactly what simulate was given',
    fix: 'Give the same --data and --split, or held-out data without --split.',
  })
}
