// What can this machine do at most? Every other row's share is a share of this.
//   npm run bench -- peak [--runs 7]
// FMA rate: chains of multiply-adds that never leave the registers. Bandwidth: reading 512 MiB, all threads together.
import os from 'node:os'
import { native } from '../dist/native/load.js'
import { percentiles } from './percentiles.mjs'

const bytes = 512 * 2 ** 20

/** The types that this machine's set computes products in. */
export const computes = () => (native().cpu().bf16 ? ['f32', 'bf16'] : ['f32'])

/** Operations a second that `threads` cores do at most: the best of a few tries, because a busy machine only takes away. */
export function peakOf(compute, threads, tries = 5) {
  return Math.max(...Array.from({ length: tries }, () => native().probePeak(compute, threads)))
}

export async function run({ emit, flag }) {
  const runs = Number(flag('runs', 7))
  const measured = (measure) => percentiles(Array.from({ length: runs }, () => measure() / 1e9))
  for (const threads of new Set([1, os.availableParallelism()])) {
    for (const compute of computes())
      emit({
        what: 'peak',
        unit: 'GFLOP/s',
        shape: { compute },
        provider: 'oneround',
        threads,
        ...measured(() => native().probePeak(compute, threads)),
      })
    emit({
      what: 'memory read',
      unit: 'GB/s',
      shape: { bytes },
      provider: 'oneround',
      threads,
      ...measured(() => native().probeBandwidth(threads, bytes)),
    })
  }
}
