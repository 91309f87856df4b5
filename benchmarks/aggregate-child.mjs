// Peak memory of an aggregator that keeps sums while update files stream through it, in a process of its own; one more
// writes the files, so that what it takes to make them is not counted. One JSON row.
// arguments: BLOCKS CLIENTS
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import os from 'node:os'
import { join } from 'node:path'
import { openAggregator } from '../dist/aggregate/aggregator.js'
import { native } from '../dist/native/load.js'
import { smolPlan, smolUpdate } from './aggregate-data.mjs'

const [blocks, clients] = process.argv.slice(2).map(Number)
const plan = smolPlan(blocks)

/** Writes update number `index` to `file` for each message { index, file }. */
function write() {
  process.on('message', async ({ index, file }) => {
    await smolUpdate(plan, index).save(file)
    process.send('written')
  })
}

async function stream() {
  const place = mkdtempSync(join(os.tmpdir(), 'oneround-bench-'))
  const writer = fork(process.argv[1], [String(blocks)])
  try {
    native()
    const accumulatorBytes = plan.layers.reduce((sum, layer) => sum + layer.in * layer.out * 8, 0)
    const aggregator = await openAggregator(plan, undefined, { keep: 'sums' })
    const file = join(place, 'an.update.safetensors')
    let seconds = 0
    const idle = process.memoryUsage().rss
    for (let index = 0; index < clients; index++) {
      writer.send({ index, file })
      await once(writer, 'message')
      const began = performance.now()
      await aggregator.add(file)
      seconds += (performance.now() - began) / 1000
    }
    console.log(
      JSON.stringify({
        seconds,
        idle_mib: idle / 2 ** 20,
        peak_mib: process.resourceUsage().maxRSS / 1024,
        update_mib: statSync(file).size / 2 ** 20,
        accumulator_mib: accumulatorBytes / 2 ** 20,
      }),
    )
  } finally {
    writer.disconnect()
    rmSync(place, { recursive: true, force: true })
  }
}

if (clients === undefined) write()
else await stream()
