// What does it cost to simulate many clients?
//   npm run bench -- clients [--clients 10 --tokens 64 --batch 1 --rank 16 --steps 4 --runs 3 --group N --threads N]
//   npm run bench -- clients --compute f32          f32, bf16, or both where this machine has both (default)
//   npm run bench -- clients --memory [--many 1000] resident memory of a federation of tiny clients, in a process of its own
// Clients that step together (one product with the base for all of them) against one after another, run by run and
// interleaved; both end with the same bits, which is checked.
import { readFileSync } from 'node:fs'
import os from 'node:os'
import { performance } from 'node:perf_hooks'
import { fileURLToPath } from 'node:url'
import { openModel } from '../dist/model/open.js'
import { native } from '../dist/native/load.js'
import { batchOf, loraSession, options } from './adapter-session.mjs'
import { computes } from './peak.mjs'
import { percentiles } from './percentiles.mjs'
import * as processes from './processes.mjs'

export async function run({ emit, flag, has }) {
  const threads = Number(flag('threads', os.availableParallelism()))
  if (!has('memory')) await speed({ emit, flag, threads })
  memory({ emit, threads, most: Number(flag('many', has('memory') ? 1000 : 100)) })
}

async function speed({ emit, flag, threads }) {
  const [clients, batch, tokens, rank, steps, runs] = [
    ['clients', 10],
    ['batch', 1],
    ['tokens', 64],
    ['rank', 16],
    ['steps', 4],
    ['runs', 3],
  ].map(([name, otherwise]) => Number(flag(name, otherwise)))
  const group = Number(flag('group', clients))
  const base = await openModel(flag('model', processes.shared(processes.model)))
  const text = readFileSync(flag('data', processes.shared(processes.data)), 'utf8')
  const stream = base.tokenizer.encode(text.slice(0, clients * steps * batch * tokens * 8))
  const batchAt = (client, step) =>
    batchOf(
      Array.from({ length: batch }, (_, i) => {
        const first = ((client * steps + step) * batch + i) * tokens
        return stream.slice(first, first + tokens)
      }),
    )
  for (const compute of flag('compute', computes().join(',')).split(',')) {
    const shape = { rank, threads, compute, longestExample: tokens }
    const alone = loraSession(base, { ...shape, rowsPerPass: batch * tokens })
    const start = alone.parameters()
    const sessions = [loraSession(base, { ...shape, rowsPerPass: group * batch * tokens, clients: group })]
    while (sessions.length < group) sessions.push(new (native().Session)(sessions[0]))
    const restart = (session) => {
      session.setParameters(start)
      session.resetOptimizer()
    }
    const seconds = { alone: [], together: [] }
    for (let turn = 0; turn <= runs; turn++) {
      const ends = []
      const began = performance.now()
      for (let client = 0; client < clients; client++) {
        restart(alone)
        for (let step = 0; step < steps; step++) await alone.step(batchAt(client, step), options)
        ends.push(alone.parameters())
      }
      const between = performance.now()
      for (let first = 0; first < clients; first += group) {
        const members = sessions.slice(0, Math.min(group, clients - first))
        members.forEach(restart)
        for (let step = 0; step < steps; step++) {
          const batches = members.map((_, i) => batchAt(first + i, step))
          const each = members.map(() => options)
          await native().stepTogether(members, batches, each)
        }
        for (const [i, member] of members.entries()) same(member.parameters(), ends[first + i])
      }
      // The first turn is the warm-up.
      if (turn === 0) continue
      seconds.alone.push((between - began) / 1000)
      seconds.together.push((performance.now() - between) / 1000)
    }
    for (const session of [alone, ...sessions]) session.close()
    const row = (what, unit, values) =>
      emit({
        what,
        unit,
        shape: { clients, batch, tokens, rank, targets: 'all-linear', steps, group, compute },
        provider: 'oneround',
        threads,
        ...percentiles(values),
      })
    const rate = (values) => values.map((one) => (clients * steps * batch * tokens) / one)
    row('clients one after another', 'tokens/s', rate(seconds.alone))
    row('clients together', 'tokens/s', rate(seconds.together))
    const ratios = seconds.alone.map((one, i) => one / seconds.together[i])
    row('clients together, ratio to one after another', 'x', ratios)
  }
  await base.close()
}

function same(left, right) {
  if (Buffer.compare(Buffer.from(left.buffer), Buffer.from(right.buffer)) !== 0)
    throw new Error('a client that stepped with others has other bits than alone')
}

/** Resident memory after some of many clients, each with one step, on the base that ships with the package. */
function memory({ emit, threads, most }) {
  const child = fileURLToPath(new URL('clients-child.mjs', import.meta.url))
  const { mib, seconds, updates_mib } = processes.measure(process.execPath, [child, most, threads])
  const row = (what, unit, shape, value) =>
    emit({
      what,
      unit,
      shape: { base: 'base', steps: 1, ...shape },
      provider: 'oneround',
      threads,
      ...percentiles([value]),
    })
  const { end, ...after } = mib
  for (const [clients, value] of Object.entries(after))
    row('resident memory after clients', 'MiB', { clients: Number(clients), of: most }, value)
  // The server's sum keeps every client's factors, so that any method stays possible.
  row('resident memory after the sum', 'MiB', { clients: most, updates: updates_mib }, end)
  row('simulated clients', 'clients/s', { clients: most }, most / seconds)
}
