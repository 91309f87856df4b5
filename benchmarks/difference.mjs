// What does a gradient difference cost, of which L is made, beside two backward passes?
//   npm run bench -- difference [--batch 4 --tokens 128 --pairs 3 --threads N]
// The same batch at two points of the merged weights and their comparison, against two gradients of the same tensors, and
// against two of LoRA factors, which need no product for a weight's own gradient.
import { readFileSync } from 'node:fs'
import os from 'node:os'
import { performance } from 'node:perf_hooks'
import { makeAdapter } from '../dist/adapter/adapter.js'
import { Probe } from '../dist/diagnose/probe.js'
import { openModel } from '../dist/model/open.js'
import { native } from '../dist/native/load.js'
import { createPlan } from '../dist/update/create-plan.js'
import { batchOf, loraSession } from './adapter-session.mjs'
import { percentiles } from './percentiles.mjs'
import * as processes from './processes.mjs'

export async function run({ emit, flag }) {
  const [batch, tokens, pairs] = [
    ['batch', 4],
    ['tokens', 128],
    ['pairs', 3],
  ].map(([name, otherwise]) => Number(flag(name, otherwise)))
  const threads = Number(flag('threads', os.availableParallelism()))
  const base = await openModel(flag('model', processes.shared(processes.model)))
  const text = readFileSync(flag('data', processes.shared(processes.data)), 'utf8')
  const stream = base.tokenizer.encode(text.slice(0, batch * tokens * 8))
  const rows = Array.from({ length: batch }, (_, i) => stream.slice(i * tokens, (i + 1) * tokens))
  const one = batchOf(rows)
  const examples = rows.map((row, id) => ({
    ids: Int32Array.from(row),
    labels: Int32Array.from(row, (_, t) => row[t + 1] ?? -100),
    id,
    characters: row.length,
  }))
  const plan = await createPlan(base, { clients: [], rank: 16, batch })
  const session = loraSession(base, { rank: 16, threads, rowsPerPass: batch * tokens, longestExample: tokens })
  const dense = new (native().Session)(base.weights, {
    slots: plan.layers.map(({ name }) => ({ kind: 'dense', tensor: `${name}.weight` })),
    overlay: [],
    ...{ threads, rowsPerPass: batch * tokens, longestExample: tokens, training: true },
  })
  dense.loadBase()
  const probe = new Probe(base, plan, examples, { threads })
  const point = { adapter: randomAdapter(plan), scale: 1 }
  const shares = { 'the same tensors': [], 'LoRA factors': [] }
  const timed = async (work) => {
    const began = performance.now()
    await work()
    return (performance.now() - began) / 1000
  }
  const twice = (session) => async () => {
    await session.gradient(one, 0)
    await session.gradient(one, 0)
  }
  const difference = async () => {
    await probe.place()
    await probe.gradient(examples)
    await probe.keep()
    await probe.place(point)
    await probe.gradient(examples)
    await probe.compare()
  }
  const sessions = { 'the same tensors': dense, 'LoRA factors': session }
  for (const other of Object.values(sessions)) await twice(other)()
  await difference()
  for (let i = 0; i < pairs; i++) {
    const seconds = await timed(difference)
    for (const [what, other] of Object.entries(sessions)) shares[what].push(seconds / (await timed(twice(other))))
  }
  const shape = { batch, tokens, rank: 16, targets: 'all-linear', tensors: probe.tensors.length, compute: 'f32', pairs }
  for (const [what, ratios] of Object.entries(shares))
    emit({
      ...{ what: `gradient difference / two gradients of ${what}`, unit: 'x', shape, provider: 'oneround', threads },
      ...percentiles(ratios),
    })
  dense.close()
  session.close()
  probe[Symbol.dispose]()
  await base.close()
}

/** A point as far off as training goes: factors of the plan with small numbers. */
function randomAdapter({ layers }) {
  return makeAdapter(
    layers.map((layer, i) => ({
      ...layer,
      a: native()
        .random(0, 2 * i, layer.rank * layer.in, 'normal')
        .map((value) => value * 1e-2),
      b: native()
        .random(0, 2 * i + 1, layer.out * layer.rank, 'normal')
        .map((value) => value * 1e-2),
    })),
  )
}
