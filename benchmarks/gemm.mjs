// How near are products to the machine's peak, with weights converted while they are packed?
//   npm run bench -- gemm [--rows 512 --seconds 0.3 --threads N --full]
// y = x w' (forward) and d_x = d_y w (backward) for the layers of SmolLM2-135M and of Llama-7B; --full: 1024 rows too.
import os from 'node:os'
import { native } from '../dist/native/load.js'
import { computes, peakOf } from './peak.mjs'
import { percentiles } from './percentiles.mjs'

// [in, out] of a model's kinds of layer
const layers = {
  'SmolLM2-135M': {
    q: [576, 576],
    kv: [576, 192],
    'gate, up': [576, 1536],
    down: [1536, 576],
    vocabulary: [576, 49152],
  },
  'Llama-7B': { 'q, k, v, o': [4096, 4096], 'gate, up': [4096, 11008], down: [11008, 4096] },
}
const types = ['F32', 'BF16', 'Q4_1', 'Q8_0']

export async function run({ emit, flag, has }) {
  const threads = Number(flag('threads', os.availableParallelism()))
  const seconds = Number(flag('seconds', 0.3))
  const rowCounts = has('full') ? [512, 1024] : [Number(flag('rows', 512))]
  for (const compute of computes()) {
    for (const [model, shapes] of Object.entries(layers))
      for (const [layer, [inputs, outputs]] of Object.entries(shapes))
        for (const type of types)
          for (const backward of [false, true])
            for (const rows of rowCounts) {
              const flop = 2 * rows * inputs * outputs
              // The peak beside each product: what else the machine does takes from both.
              const peak = peakOf(compute, threads, 1)
              const repeats = Math.max(3, Math.min(1000, Math.round((seconds * peak) / flop)))
              const probe = { type, rows, in: inputs, out: outputs, backward, compute, threads, repeats }
              const rates = Array.from(native().probeProduct(probe), (s) => flop / s / 1e9)
              const best = percentiles(rates)
              const after = Math.max(peak, peakOf(compute, threads, 1)) / 1e9
              const shape = {
                model,
                layer,
                rows,
                in: inputs,
                out: outputs,
                type,
                direction: backward ? 'd_x' : 'forward',
              }
              emit({
                what: 'gemm',
                unit: 'GFLOP/s',
                shape: { ...shape, compute },
                provider: 'oneround',
                threads,
                ...best,
                peak: Number(after.toPrecision(4)),
                share_of_peak: Number((best.p50 / after).toFixed(3)),
              })
            }
  }
}
