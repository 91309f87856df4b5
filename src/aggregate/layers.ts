/** One method over all layers, several at a time, without blocking the event loop. */
import { availableParallelism } from 'node:os'
import { setImmediate as turn } from 'node:timers/promises'
import { OneroundError } from '../errors.js'
import type { LayerMethod, LayerOutcome, LayerSum, MethodOptions } from './method.js'

export interface LayerJobs {
  /** layers at a time, each on its own thread; default: all cores. The bits do not depend on it. */
  threads?: number | undefined
  /** looked at between layers */
  signal?: AbortSignal | undefined
}

/** Calls body(index) for each index below `count`, a few at a time, and waits for all even where one fails. */
export async function eachLimited(
  count: number,
  jobs: LayerJobs,
  body: (index: number) => Promise<void>,
): Promise<void> {
  let next = 0
  let failed = false
  const worker = async (): Promise<void> => {
    while (next < count && !failed) {
      const index = next++
      if (jobs.signal?.aborted)
        throw new OneroundError('ABORTED', 'The aggregation was stopped.', { fix: 'Start it again.' })
      // Copying factors takes milliseconds a layer: timers and sockets get a turn between two.
      await turn()
      await body(index)
    }
  }
  const guarded = () =>
    worker().catch((error: unknown) => {
      failed = true
      throw error
    })
  const workers = Math.max(1, Math.min(jobs.threads ?? availableParallelism(), count))
  // All end before the first failure is told: no thread outlives the promise.
  const ends = await Promise.allSettled(Array.from({ length: workers }, guarded))
  for (const end of ends) if (end.status === 'rejected') throw end.reason
}

/** Outcomes in the order of `sums`. */
export async function overLayers(
  sums: readonly LayerSum[],
  method: LayerMethod,
  options: MethodOptions,
  jobs: LayerJobs = {},
): Promise<LayerOutcome[]> {
  const outcomes: LayerOutcome[] = []
  // The largest first: all threads then end at about the same time.
  const order = [...sums.keys()].sort((i, j) => sizeOf(sums[j]) - sizeOf(sums[i]))
  await eachLimited(sums.length, jobs, async (turn) => {
    const index = order[turn] ?? 0
    const sum = sums[index]
    if (sum !== undefined) outcomes[index] = await method(sum, options)
  })
  return outcomes
}

const sizeOf = (sum: LayerSum | undefined): number => (sum === undefined ? 0 : sum.in * sum.out)
