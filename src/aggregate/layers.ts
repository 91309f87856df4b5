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

/** Outcomes in the order of `sums`. */
export async function overLayers(
  sums: readonly LayerSum[],
  method: LayerMethod,
  options: MethodOptions,
  jobs: LayerJobs = {},
): Promise<LayerOutcome[]> {
  const outcomes: LayerOutcome[] = []
  let next = 0
  let failed = false
  const worker = async (): Promise<void> => {
    while (next < sums.length && !failed) {
      const index = next++
      const sum = sums[index]
      if (sum === undefined) return
      if (jobs.signal?.aborted)
        throw new OneroundError('ABORTED', 'The aggregation was stopped.', { fix: 'Start it again.' })
      // Copying factors takes milliseconds a layer: timers and sockets get a turn between two.
      await turn()
      outcomes[index] = await method(sum, options)
    }
  }
  const guarded = () =>
    worker().catch((error: unknown) => {
      failed = true
      throw error
    })
  const count = Math.max(1, Math.min(jobs.threads ?? availableParallelism(), sums.length))
  // All end before the first failure is told: no thread outlives the promise.
  const ends = await Promise.allSettled(Array.from({ length: count }, guarded))
  for (const end of ends) if (end.status === 'rejected') throw end.reason
  return outcomes
}
