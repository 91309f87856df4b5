// Peak memory of an aggregator that keeps sums while updates stream through it, in a process of its own. One JSON row.
// arguments: BLOCKS CLIENTS
import { openAggregator } from '../dist/aggregate/aggregator.js'
import { native } from '../dist/native/load.js'
import { serializeUpdate } from '../dist/update/update.js'
import { smolPlan, smolUpdate } from './aggregate-data.mjs'

const [blocks, clients] = process.argv.slice(2).map(Number)
native()
const plan = smolPlan(blocks)
const updateBytes = serializeUpdate(smolUpdate(plan, 0)).byteLength
const accumulatorBytes = plan.layers.reduce((sum, layer) => sum + layer.in * layer.out * 8, 0)
const aggregator = await openAggregator(plan, undefined, { keep: 'sums' })
const began = performance.now()
let making = 0
const idle = process.memoryUsage().rss
for (let i = 0; i < clients; i++) {
  const start = performance.now()
  const update = smolUpdate(plan, i)
  making += performance.now() - start
  await aggregator.add(update)
}
console.log(
  JSON.stringify({
    seconds: (performance.now() - began - making) / 1000,
    idle_mib: idle / 2 ** 20,
    peak_mib: process.resourceUsage().maxRSS / 1024,
    update_mib: updateBytes / 2 ** 20,
    accumulator_mib: accumulatorBytes / 2 ** 20,
  }),
)
