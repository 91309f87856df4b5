/** Runs jobs side by side, at most `limit` at once, started in the order given. */

/**
 * The first failure stops what runs (by the signal that each job gets) and keeps the rest from starting; it is thrown
 * after all have settled, so that nothing goes on behind the caller's back.
 */
export async function eachLimited<T>(
  items: readonly T[],
  limit: number,
  outer: AbortSignal | undefined,
  job: (item: T, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const controller = new AbortController()
  const stop = () => controller.abort(outer?.reason)
  if (outer?.aborted) stop()
  outer?.addEventListener('abort', stop)
  let failure: { error: unknown } | undefined
  let next = 0
  const worker = async () => {
    while (next < items.length && failure === undefined) {
      const item = items[next++] as T
      try {
        await job(item, controller.signal)
      } catch (error) {
        // What fails after this only fails because it was stopped.
        failure ??= { error }
        controller.abort(error)
      }
    }
  }
  try {
    await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker))
  } finally {
    outer?.removeEventListener('abort', stop)
  }
  if (failure) throw failure.error
}
