/** Tokenised examples, and the ways to divide them. */
import { OneroundError } from '../errors.js'
import { partition } from './partition.js'

/** The label of a row on which no loss is taken. */
export const UNTRAINED = -100

/** How rows become examples; part of the plan, so that all clients agree. */
export interface DataOptions {
  /** `text`, `prompt-completion`, `alpaca`, `chat`, or a pattern with fields in braces */
  template: string
  /** most tokens in an example; a longer row is cut and counted, a plain-text file is cut into several examples */
  cutoff: number
  /** `completion`: only the completion and the end-of-text token are trained */
  lossOn: 'all' | 'completion'
  /** fraction of a client's examples kept from training, from 0 up to but not including 1; applied by Dataset.heldOut() */
  heldOut: number
}

export interface Example {
  /** [n] */
  ids: Int32Array
  /** [n]; already shifted: labels[t] is the token after ids[t], or UNTRAINED; the last is always UNTRAINED */
  labels: Int32Array
  /** place in its source (0, 1, ... within one file), so that seeds do not depend on what else was loaded */
  id: number
  /** UTF-16 units of the text it was made from; of a cut row, the whole row's */
  characters: number
  /** true where the row was longer than the cutoff */
  cut?: boolean
  /** the file it came from, as it was given */
  source?: string
  /** short scalar fields of the row that the template does not use, as text; for splitting by field */
  fields?: Record<string, string>
}

export interface DataFile {
  path: string
  /** of the file's bytes, hexadecimal */
  sha256: string
}

export interface Dataset {
  readonly examples: readonly Example[]
  readonly count: number
  /** trained tokens: labels that are not UNTRAINED */
  readonly tokens: number
  readonly files: readonly DataFile[]
  /** examples that were cut at the cutoff */
  readonly cut: number
  /** rows of the load that hold nothing to train on; 0 in a part of a dataset */
  readonly leftOut: number
  /**
   * Parts by client name, in the order of the names: `file`, `field:NAME`, or, with a number of `clients`, `iid`,
   * `dirichlet:ALPHA:FIELD` (label skew) and `quantity:S` (size skew); see skew.ts.
   * The same seed gives the same parts; each part keeps the order of its examples.
   */
  split(by: string, o: { clients?: number | undefined; seed: number }): Record<string, Dataset>
  /**
   * The last `fraction` of the examples, rounded to a whole number but at least one, and the rest before them.
   * @param fraction 0 (nothing is held out) up to but not including 1
   */
  heldOut(fraction: number): { train: Dataset; heldOut: Dataset }
}

/** A boundary that was settled before examples were dropped: a later fraction of the rest would move it. */
interface Boundary {
  fraction: number
  /** examples before the held-out part */
  train: number
}

export function makeDataset(
  examples: readonly Example[],
  files: readonly DataFile[] = [],
  leftOut = 0,
  boundary?: Boundary,
): Dataset {
  const part = (some: readonly Example[]): Dataset => {
    const used = new Set(some.map((example) => example.source))
    return makeDataset(
      some,
      files.filter((file) => used.has(file.path)),
    )
  }
  return {
    examples,
    count: examples.length,
    tokens: examples.reduce((sum, example) => sum + trainedTokens(example), 0),
    files,
    cut: examples.reduce((sum, example) => sum + (example.cut ? 1 : 0), 0),
    leftOut,
    split(by, o) {
      const parts = partition(examples, by, o)
      return Object.fromEntries(
        parts.map(({ client, members }) => [client, part(members.map((i) => examples[i] as Example))]),
      )
    },
    heldOut(fraction) {
      const edge =
        boundary?.fraction === fraction ? boundary.train : examples.length - heldOutCount(examples.length, fraction)
      return { train: part(examples.slice(0, edge)), heldOut: part(examples.slice(edge)) }
    },
  }
}

/** Labels of an example that take part in the loss. */
export function trainedTokens(example: Example): number {
  return example.labels.reduce((sum, label) => sum + (label === UNTRAINED ? 0 : 1), 0)
}

function heldOutCount(count: number, fraction: number): number {
  if (!(fraction >= 0 && fraction < 1)) {
    throw new OneroundError('ARGUMENT', 'The held-out part must be a fraction of the examples.', {
      found: String(fraction),
      expected: '0 up to but not including 1',
      fix: 'Set heldOut to, for example, 0.2.',
    })
  }
  if (fraction === 0) return 0
  if (count < 2) {
    throw new OneroundError('ARGUMENT', 'Too few examples to hold some out.', {
      found: `${count} example${count === 1 ? '' : 's'}`,
      expected: 'at least 2',
      fix: 'Give this client more examples, or set heldOut to 0.',
    })
  }
  return Math.min(count - 1, Math.max(1, Math.round(count * fraction)))
}
