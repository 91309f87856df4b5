/** A thousand cycles of open, train, stop and close: `npm run cycles`. Linux only, where /proc tells what a process holds. */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { scratch } from './child.js'

const CYCLES = Number(process.env.ONEROUND_CYCLES ?? 1000)
const WARM_UP = Math.floor(CYCLES / 5)
/** bytes between the warm-up and the end; a session that stays is more than 2 MB, so that 16 of hundreds would show */
const MOST_GROWTH = 32e6
const MOST_HEAP_GROWTH = 4e6

interface Held {
  rss: number
  outsideHeap: number
  heapUsed: number
  files: number
  threads: number
  mappings: number
}

it.runIf(process.platform === 'linux')(`${CYCLES} cycles hold nothing back`, { timeout: 600_000 }, () => {
  using place = scratch()
  const program = fileURLToPath(new URL('cycles.mjs', import.meta.url))
  const args = ['--expose-gc', program, place.source, String(CYCLES), String(WARM_UP)]
  const began = performance.now()
  const { stdout, stderr, status } = spawnSync(process.execPath, args, { encoding: 'utf8' })
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
  const { ended, warm, end } = JSON.parse(stdout) as { ended: Record<string, number>; warm: Held; end: Held }
  const seconds = ((performance.now() - began) / 1000).toFixed(0)
  console.log(
    JSON.stringify({
      cycles: CYCLES,
      seconds: Number(seconds),
      ended,
      warm,
      end,
      growth: end.outsideHeap - warm.outsideHeap,
    }),
  )
  expect(end.outsideHeap - warm.outsideHeap).toBeLessThan(MOST_GROWTH)
  expect(end.heapUsed - warm.heapUsed).toBeLessThan(MOST_HEAP_GROWTH)
  expect(end.files).toBe(warm.files)
  expect(end.threads).toBe(warm.threads)
  // The allocator maps as it likes; a base that stays mapped would be one more each cycle.
  expect(end.mappings - warm.mappings).toBeLessThan(CYCLES / 10)
  // Most second steps are stopped in their middle; none fails in another way.
  const { ABORTED = 0, CLOSED = 0, finished = 0, ...others } = ended
  expect(others).toEqual({})
  expect(ABORTED + CLOSED).toBeGreaterThan(finished)
})
