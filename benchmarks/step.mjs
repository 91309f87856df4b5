// Where does the time of one training step go, and what remains to be won?
//   npm run bench -- step [--batch 4 --tokens 128 --rank 16 --steps 8 --threads N --compute bf16] [--page docs/performance.md]
// Every operation of the fastest of some steps: time, arithmetic, bytes, and its share of the peak measured before and after.
import { readFileSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import { performance } from 'node:perf_hooks'
import { openModel } from '../dist/model/open.js'
import { native } from '../dist/native/load.js'
import { batchOf, loraSession, options } from './adapter-session.mjs'
import { computes, peakOf } from './peak.mjs'
import { percentiles } from './percentiles.mjs'
import * as processes from './processes.mjs'

export async function run({ emit, flag }) {
  const [batch, tokens, rank, steps] = [
    ['batch', 4],
    ['tokens', 128],
    ['rank', 16],
    ['steps', 8],
  ].map(([name, otherwise]) => Number(flag(name, otherwise)))
  const threads = Number(flag('threads', os.availableParallelism()))
  const compute = flag('compute', computes().at(-1))
  const page = flag('page')
  const shape = { batch, tokens, rank, targets: 'all-linear', compute }

  const before = peakOf(compute, threads)
  const bandwidth = native().probeBandwidth(threads, 512 * 2 ** 20)
  const base = await openModel(flag('model', processes.shared(processes.model)))
  const stream = base.tokenizer.encode(
    readFileSync(flag('data', processes.shared(processes.data)), 'utf8').slice(0, batch * tokens * 8),
  )
  const session = loraSession(base, {
    rank,
    threads,
    compute,
    rowsPerPass: batch * tokens,
    longestExample: tokens,
    profile: true,
  })
  const one = batchOf(Array.from({ length: batch }, (_, i) => stream.slice(i * tokens, (i + 1) * tokens)))
  let fastest
  for (let i = 0; i <= steps; i++) {
    const start = performance.now()
    await session.step(one, options)
    const seconds = (performance.now() - start) / 1000
    const operations = session.profile()
    if (i > 0 && (fastest === undefined || seconds < fastest.seconds)) fastest = { seconds, operations }
  }
  session.close()
  await base.close()
  // Whatever else ran took from the peak too: the better of two looks.
  const peak = Math.max(before, peakOf(compute, threads))

  const operations = fastest.operations.sort((a, b) => b.seconds - a.seconds)
  const other = fastest.seconds - operations.reduce((sum, o) => sum + o.seconds, 0)
  const all = [...operations, { operation: 'between operations', calls: 1, seconds: other, flop: 0, bytes: 0 }]
  for (const { operation, calls, seconds, flop, bytes } of all)
    emit({
      what: `step, ${operation}`,
      unit: 'ms',
      shape: { ...shape, calls, gflop: flop / 1e9, gbytes: bytes / 1e9 },
      provider: 'oneround',
      threads,
      ...percentiles([seconds * 1000]),
      ...(flop > 0 ? { share_of_peak: Number((flop / seconds / peak).toFixed(3)) } : {}),
    })
  const flop = all.reduce((sum, o) => sum + o.flop, 0)
  emit({
    what: 'step, all',
    unit: 'ms',
    shape: { ...shape, tokensPerSecond: Math.round((batch * tokens) / fastest.seconds), gflop: flop / 1e9 },
    provider: 'oneround',
    threads,
    ...percentiles([fastest.seconds * 1000]),
    share_of_peak: Number((flop / fastest.seconds / peak).toFixed(3)),
  })
  if (page !== undefined) writeFileSync(page, pageOf({ all, fastest, flop, peak, bandwidth, shape, threads }))
}

/** The page: what was measured, and what each operation would take at the limit that binds it. */
function pageOf({ all, fastest, flop, peak, bandwidth, shape, threads }) {
  const { isa } = native().cpu()
  const ms = (seconds) => (seconds * 1000).toFixed(1)
  const least = (o) => Math.max(o.flop / peak, o.bytes / bandwidth)
  const rows = all.map((o) => {
    const rate = o.flop > 0 ? `${((o.flop / o.seconds / peak) * 100).toFixed(0)} %` : ''
    const limit = least(o)
    return `| ${o.operation} | ${o.calls} | ${ms(o.seconds)} | ${(o.flop / 1e9).toFixed(1)} | ${(o.bytes / 1e9).toFixed(2)} | ${rate} | ${ms(Math.max(0, o.seconds - limit))} |`
  })
  const tokens = shape.batch * shape.tokens
  return `# One training step, operation by operation

Made by \`npm run bench -- step --page docs/performance.md\`, from the fastest of the steps that it ran; nothing here is
typed in by hand. LoRA of rank ${shape.rank} on all linear layers of SmolLM2-135M from its Q4_1 file, ${shape.batch} x ${shape.tokens} tokens, products in
${shape.compute}, ${threads} threads, ${os.cpus()[0]?.model.trim()}, instruction set ${isa}.

- ${(tokens / fastest.seconds).toFixed(0)} tokens a second: ${ms(fastest.seconds)} ms, ${(flop / 1e9).toFixed(0)} GFLOP, ${((flop / fastest.seconds / peak) * 100).toFixed(0)} % of the peak over the whole step.
- Peak (chains of multiply-adds in registers, ${threads} threads, before and after): ${(peak / 1e9).toFixed(0)} GFLOP/s. Memory read: ${(bandwidth / 1e9).toFixed(1)} GB/s.

| operation | calls | ms | GFLOP | GB | share of peak | ms above its limit |
|---|---|---|---|---|---|---|
${rows.join('\n')}

An operation's limit is the longer of its arithmetic at the peak and its operands' bytes at the speed of memory; operands
that are still in a cache can be faster than that, which counts as nothing left. GFLOP of attention are those of its
causal half. \`linear_parts\` are the layers that read the same rows with their LoRA factors, \`linear_parts_d_x\` the way
back, \`linear_d_w\` the factors' own gradients, \`linear\` and \`linear_d_x\` the vocabulary.
`
}
