// Rows of the aggregate benchmark: the best factors of rank 16 of a sum, beside numpy's SVD of every dense
// dW = sum p_i s B_i A_i of the same sizes, cut to rank 16.
import { measure } from './processes.mjs'

/** Prints seconds, wall and processor time, of the dense sums and of the SVDs, apart. */
const numpySvd = `
import json, sys, time
import numpy as np
blocks, clients, rank = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
kinds = [(576,576),(576,192),(576,192),(576,576),(576,1536),(576,1536),(1536,576)]
rng = np.random.default_rng(0)
clocks = lambda: np.array([time.perf_counter(), time.process_time()])
sums = svds = 0
for _ in range(blocks):
    for i, o in kinds:
        A = rng.standard_normal((clients, rank, i), dtype=np.float32) * np.float32(0.02)
        B = rng.standard_normal((clients, o, rank), dtype=np.float32) * np.float32(0.002)
        t = clocks()
        W = np.concatenate(list(B), 1) @ np.concatenate(list(A), 0)
        sums = sums + clocks() - t
        t = clocks()
        u, s, vt = np.linalg.svd(W, full_matrices=False)
        b = u[:, :16] * np.sqrt(s[:16]); a = np.sqrt(s[:16])[:, None] * vt[:16]
        svds = svds + clocks() - t
print(json.dumps(dict(sums=sums[0], svds=svds[0], sumsProcessor=sums[1], svdsProcessor=svds[1])))
`

// numpy on its own threads, as many as it likes, and on one: with several it is often slower, on a busy machine more so.
const { OPENBLAS_NUM_THREADS: _, OMP_NUM_THREADS: __, ...itsOwnThreads } = process.env
export const oneThread = { ...itsOwnThreads, OPENBLAS_NUM_THREADS: '1' }

/** Times of one finish and, with the Python `peer`, of numpy after it: a process on one thread and one on its own. */
export async function svdTimes(aggregator, { peer, blocks, clients }) {
  const processor = process.cpuUsage()
  const began = performance.now()
  await aggregator.finish({ method: 'svd', rank: 16 })
  const wall = (performance.now() - began) / 1000
  const { user, system } = process.cpuUsage(processor)
  const own = { wall, processor: (user + system) / 1e6 }
  if (peer === undefined) return { own }
  const numpy = (env) => measure(peer, ['-c', numpySvd, blocks, clients, 8], env)
  return { own, one: numpy(oneThread), several: numpy(itsOwnThreads) }
}

/** What to report of some svdTimes: name, unit, provider and values. */
export function svdRows(all, beside) {
  const row = (what, provider, value, unit = 's') => ({
    what: `svd to rank 16${what}`,
    unit,
    provider,
    values: all.map(value),
  })
  const ours = [
    row('', 'oneround', ({ own }) => own.wall),
    row(', processor time', 'oneround', ({ own }) => own.processor),
  ]
  if (!beside) return ours
  const ratio = (what, value) => row(`, ratio of ${what}`, 'both', value, 'numpy / oneround')
  const whole = ({ sums, svds }) => sums + svds
  return [
    ...ours,
    row(', SVDs on one thread', 'numpy', ({ one }) => one.svds),
    row(', SVDs on its threads', 'numpy', ({ several }) => several.svds),
    row(', SVDs on one thread, processor time', 'numpy', ({ one }) => one.svdsProcessor),
    row(', dense sums in f32 on one thread', 'numpy', ({ one }) => one.sums),
    row(', dense sums in f32 on its threads', 'numpy', ({ several }) => several.sums),
    ratio("sums and SVDs to numpy's faster setting", (x) => Math.min(whole(x.one), whole(x.several)) / x.own.wall),
    ratio("SVDs alone to numpy's faster setting", (x) => Math.min(x.one.svds, x.several.svds) / x.own.wall),
    ratio("SVDs alone to numpy's own threads", (x) => x.several.svds / x.own.wall),
    ratio('SVDs alone, processor time', (x) => x.one.svdsProcessor / x.own.processor),
  ]
}
