import type { Dataset, Example } from '../data/dataset.js'
import { OneroundError } from '../errors.js'
import { type PassShape, passShape } from '../train/budget.js'
import { sumLosses } from '../train/score.js'
import { dataDigest } from '../train/train.js'
import type { Mixture } from './mixture.js'

/** Parts that the held-out text is cut into, so that a value's own spread over texts can be told. */
const MOST_PARTS = 20
/** Examples that one pass may read at once. */
const examplesPerPass = 8

/** The text that clients are valued on, in parts: example i belongs to part i mod parts, so every part is of all sources. */
export class HeldOut {
  /** of the whole dataset */
  readonly sha256: string
  /** those with a trained token */
  readonly examples: readonly Example[]
  readonly shape: PassShape
  readonly parts: number
  /** trained tokens of each part */
  readonly tokens: Float64Array
  /** rows (tokens read) of one pass over all */
  readonly rows: number

  constructor(data: Dataset) {
    this.sha256 = dataDigest(data)
    this.examples = data.examples.filter(({ labels }) => labels.some((label) => label >= 0))
    if (this.examples.length === 0) {
      throw new OneroundError('ARGUMENT', 'There is nothing to value clients on.', {
        found: `${data.count} examples without a trained token`,
        expected: 'at least one trained token',
        fix: 'Give held-out data (--data), or raise the cutoff.',
      })
    }
    this.shape = passShape(this.examples, examplesPerPass)
    this.parts = Math.min(MOST_PARTS, this.examples.length)
    this.tokens = new Float64Array(this.parts)
    for (const [i, { labels }] of this.examples.entries()) {
      const part = i % this.parts
      this.tokens[part] = (this.tokens[part] ?? 0) + labels.reduce((count, label) => count + (label >= 0 ? 1 : 0), 0)
    }
    this.rows = this.examples.reduce((sum, { ids }) => sum + ids.length, 0)
  }

  /** Examples of some parts only. */
  ofParts(wanted: (part: number) => boolean): Example[] {
    return this.examples.filter((_, i) => wanted(i % this.parts))
  }

  /** Summed loss of each part, nats, under the mixture as it is set. */
  async losses(
    mixture: Mixture,
    o: { signal?: AbortSignal | undefined; onRows?: ((rows: number) => void) | undefined } = {},
  ): Promise<Float64Array> {
    const sums = new Float64Array(this.parts)
    await sumLosses(mixture.session, this.examples, {
      rowsPerPass: this.shape.rowsPerPass,
      signal: o.signal,
      onRows: o.onRows,
      onLoss: (index, loss) => {
        const part = index % this.parts
        sums[part] = (sums[part] ?? 0) + loss
      },
    })
    return sums
  }
}
