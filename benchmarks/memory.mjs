// How much memory does training take, and what do untrained rows cost?
//   npm run bench -- memory [--threads N --steps 2]
// Peak resident memory of a process that opens the GGUF file and trains: 4 x 128 full rows, and 8 rows of GSM8K as they
// are. The second with the loss on all tokens and on answers only: the logits of untrained rows are never computed.
import os from 'node:os'
import { computes } from './peak.mjs'
import { percentiles } from './percentiles.mjs'
import * as processes from './processes.mjs'

export async function run({ emit, flag }) {
  const model = flag('model', processes.shared(processes.model))
  const data = flag('data', processes.shared(processes.data))
  const threads = Number(flag('threads', os.availableParallelism()))
  const steps = Number(flag('steps', 2))
  const compute = computes().at(-1)
  const rank = 16
  for (const [batch, tokens, lossOn] of [
    [4, 128, 'all'],
    [8, 0, 'all'],
    [8, 0, 'completion'],
  ]) {
    const row = processes.measure(process.execPath, [
      ...[processes.child, model, data, batch, tokens, rank, steps, 1, threads, compute, lossOn],
    ])
    const shape = { batch, tokens: tokens === 0 ? 'mixed' : tokens, rank, targets: 'all-linear', lossOn, compute }
    for (const [what, unit, key] of [
      ['peak memory', 'MiB', 'peak_rss_mib'],
      ['memory budget', 'MiB', 'budget_mib'],
      ['train', 'tokens/s', 'tokens_per_s'],
      ['train', 'trained tokens/s', 'trained_tokens_per_s'],
    ])
      emit({ what, unit, shape, provider: 'oneround', threads, ...percentiles([row[key]]) })
  }
}
