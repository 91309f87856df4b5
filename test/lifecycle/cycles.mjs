// Opens a model, trains a step, stops a second one in its middle, closes all: again and again, and says what the process
// holds after the warm-up and at the end. Run by cycles.long.ts with --expose-gc.
import { readdirSync, readFileSync } from 'node:fs'
import { loadExamples, openModel } from '../../dist/index.js'
import { native } from '../../dist/native/load.js'
import { adamw } from '../../dist/train/optimizer.js'

const [source, count, warmup] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])]
const wait = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds))
const step = { ...adamw, learningRate: 1e-3, weightDecay: 0, clipNorm: 1, seed: 1 }

/** `examples` times the same example. */
function batchOf(example, examples) {
  const { ids, labels } = example
  const repeat = (values) => Int32Array.from({ length: values.length * examples }, (_, i) => values[i % values.length])
  return {
    ids: repeat(ids),
    labels: repeat(labels),
    lengths: new Int32Array(examples).fill(ids.length),
    dropoutCounters: Uint32Array.from({ length: examples }, (_, i) => i),
  }
}

function open(base) {
  const slots = base.spec.linearLayers.map(({ name }) => ({
    kind: 'lora',
    layer: name,
    rank: 4,
    scale: 2,
    dropout: 0.1,
  }))
  const options = { slots, overlay: [], threads: 2, rowsPerPass: 960, longestExample: 96, training: true }
  return new (native().Session)(base.weights, options)
}

/** @returns the code of the second step's error, or `finished` */
async function cycle(number) {
  const base = await openModel(source)
  const options = { template: 'text', cutoff: 96, lossOn: 'all', tokenizer: base.tokenizer }
  const data = await loadExamples([{ text: `cycle ${number} `.repeat(12) }], options)
  const session = open(base)
  await session.step(batchOf(data.examples[0], 2), step)
  const running = session.step(batchOf(data.examples[0], 100), step).then(
    () => 'finished',
    (error) => error.code,
  )
  await wait(number % 4)
  // every third time it is the closing that stops the step
  if (number % 3 === 0) session.close()
  else session.abort()
  const ended = await running
  session.close()
  await base.close()
  return ended
}

async function held() {
  for (let i = 0; i < 3; i++) {
    globalThis.gc()
    await wait(50)
  }
  const { rss, heapTotal, heapUsed } = process.memoryUsage()
  return {
    rss,
    // V8 takes and gives back room for its heap as it likes: by 30 MB and more, with the same objects in it
    outsideHeap: rss - heapTotal,
    heapUsed,
    files: readdirSync('/proc/self/fd').length,
    threads: readdirSync('/proc/self/task').length,
    mappings: readFileSync('/proc/self/maps', 'latin1').split('\n').length,
  }
}

const ended = {}
let warm
for (let i = 0; i < count; i++) {
  if (i === warmup) warm = await held()
  const how = await cycle(i)
  ended[how] = (ended[how] ?? 0) + 1
}
console.log(JSON.stringify({ ended, warm, end: await held() }))
