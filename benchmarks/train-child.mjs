// One measurement of LoRA training in a process of its own, so that its peak memory is its own. Prints one JSON row.
// arguments: MODEL DATA.jsonl BATCH TOKENS RANK STEPS WARMUP THREADS COMPUTE [completion]
// TOKENS 0: rows as they are, cut at 512 tokens; `completion`: loss on their answers only.
import { readFileSync } from 'node:fs'
import { performance } from 'node:perf_hooks'
import { openModel } from '../dist/model/open.js'
import { batchOf, loraSession, options } from './adapter-session.mjs'

const [model, data, batch, tokens, rank, steps, warmup, threads, compute, lossOn] = process.argv
  .slice(2)
  .map((value, at) => (at >= 2 && at <= 7 ? Number(value) : value))
const cutoff = 512

const opening = performance.now()
const base = await openModel(model)
const openSeconds = (performance.now() - opening) / 1000

/** Full examples of exactly `tokens` tokens cut from one long stream, as the peer's benchmark does it. */
function fullBatches() {
  const needed = batch * tokens * (steps + warmup)
  const stream = []
  for (const { question, answer } of rowsOf(data)) {
    if (stream.length >= needed) break
    stream.push(...base.tokenizer.encode(`Question: ${question}\nAnswer: ${answer}`), base.tokenizer.eosToken)
  }
  if (stream.length < needed) throw new Error(`${data} has ${stream.length} tokens and ${needed} are needed`)
  const example = (i) => stream.slice(i * tokens, (i + 1) * tokens)
  return Array.from({ length: steps + warmup }, (_, step) =>
    batchOf(Array.from({ length: batch }, (_, i) => example(step * batch + i))),
  )
}

/** Rows of mixed length, `batch` a step, laid one after another without padding. */
function mixedBatches() {
  const rows = rowsOf(data).slice(0, batch * (steps + warmup))
  const examples = rows.map(({ question, answer }) => {
    const prompt = base.tokenizer.encode(`Question: ${question}\nAnswer:`)
    const ids = [...prompt, ...base.tokenizer.encode(` ${answer}`), base.tokenizer.eosToken].slice(0, cutoff)
    return Object.assign(ids, { prompt: prompt.length })
  })
  return Array.from({ length: steps + warmup }, (_, step) =>
    batchOf(
      examples.slice(step * batch, (step + 1) * batch),
      (example, t) => lossOn !== 'completion' || t >= example.prompt,
    ),
  )
}

function rowsOf(file) {
  const lines = readFileSync(file, 'utf8').split('\n')
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line))
}

const batches = tokens === 0 ? mixedBatches() : fullBatches()
const session = loraSession(base, {
  rank,
  threads,
  compute,
  rowsPerPass: Math.max(...batches.map(({ ids }) => ids.length)),
  longestExample: Math.max(...batches.map(({ lengths }) => Math.max(...lengths))),
})
const seconds = []
const losses = []
let read = 0
let trained = 0
for (const [index, one] of batches.entries()) {
  const start = performance.now()
  const result = await session.step(one, options)
  losses.push(result.loss)
  if (index < warmup) continue
  seconds.push((performance.now() - start) / 1000)
  read += one.ids.length
  trained += result.tokens
}
const { budget } = session
session.close()
await base.close()
const total = seconds.reduce((sum, s) => sum + s, 0)
console.log(
  JSON.stringify({
    tokens_per_s: read / total,
    trained_tokens_per_s: trained / total,
    peak_rss_mib: process.resourceUsage().maxRSS / 1024,
    budget_mib: budget.total / 2 ** 20,
    open_s: openSeconds,
    losses,
  }),
)
