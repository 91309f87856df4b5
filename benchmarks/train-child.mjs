// One measurement of LoRA training in a process of its own, so that its peak memory is its own. Prints one JSON row.
// arguments: MODEL DATA.jsonl BATCH TOKENS RANK STEPS WARMUP THREADS COMPUTE
import { readFileSync } from 'node:fs'
import { performance } from 'node:perf_hooks'
import { openModel } from '../dist/model/open.js'
import { native } from '../dist/native/load.js'
import { adamw } from '../dist/train/local.js'

const [model, data, batch, tokens, rank, steps, warmup, threads, compute] = process.argv
  .slice(2)
  .map((value, at) => (at >= 2 && at <= 7 ? Number(value) : value))

const opening = performance.now()
const base = await openModel(model)
const openSeconds = (performance.now() - opening) / 1000

// Full examples of exactly `tokens` tokens cut from one long stream, as the peer's benchmark does it.
const needed = batch * tokens * (steps + warmup)
const stream = []
for (const line of readFileSync(data, 'utf8').split('\n')) {
  if (stream.length >= needed) break
  if (line === '') continue
  const { question, answer } = JSON.parse(line)
  stream.push(...base.tokenizer.encode(`Question: ${question}\nAnswer: ${answer}`), base.tokenizer.eosToken)
}
if (stream.length < needed) throw new Error(`${data} has ${stream.length} tokens and ${needed} are needed`)
const batches = Array.from({ length: steps + warmup }, (_, step) => {
  const ids = Int32Array.from(stream.slice(step * batch * tokens, (step + 1) * batch * tokens))
  const labels = Int32Array.from(ids, (_id, row) => ((row + 1) % tokens === 0 ? -100 : ids[row + 1]))
  return { ids, labels, lengths: new Int32Array(batch).fill(tokens), dropoutCounters: new Uint32Array(batch) }
})

const layers = base.spec.linearLayers
const session = new (native().Session)(base.weights, {
  slots: layers.map(({ name }) => ({ kind: 'lora', layer: name, rank, scale: 2, dropout: 0 })),
  overlay: [],
  threads,
  compute,
  rowsPerPass: batch * tokens,
  longestExample: tokens,
  training: true,
})
// A uniform, B zero.
const parameters = new Float32Array(session.parameterCount)
let at = 0
layers.forEach((layer, index) => {
  const a = native().random(0, index, rank * layer.in, 'uniform')
  const bound = 1 / Math.sqrt(layer.in)
  a.forEach((u, i) => {
    parameters[at + i] = (2 * u - 1) * bound
  })
  at += rank * (layer.in + layer.out)
})
session.setParameters(parameters)

const options = { ...adamw, learningRate: 3e-4, weightDecay: 0.01, clipNorm: 0, seed: 0 }
const seconds = []
const losses = []
for (const [index, one] of batches.entries()) {
  const start = performance.now()
  const { loss } = await session.step(one, options)
  losses.push(loss)
  if (index >= warmup) seconds.push((performance.now() - start) / 1000)
}
const { budget } = session
session.close()
await base.close()
const total = seconds.reduce((sum, s) => sum + s, 0)
console.log(
  JSON.stringify({
    tokens_per_s: (steps * batch * tokens) / total,
    peak_rss_mib: process.resourceUsage().maxRSS / 1024,
    budget_mib: budget.total / 2 ** 20,
    open_s: openSeconds,
    losses,
  }),
)
