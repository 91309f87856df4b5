// From openModel until the first step can start, in a process of its own. Prints one JSON row of seconds.
// arguments: MODEL THREADS training|scoring
import { performance } from 'node:perf_hooks'

const [model, threads, kind] = process.argv.slice(2)
const { openModel } = await import('../dist/model/open.js')
const { native } = await import('../dist/native/load.js')
const start = performance.now()
const base = await openModel(model)
const opened = performance.now()
const slots = base.spec.linearLayers.map(({ name }) => ({ kind: 'lora', layer: name, rank: 16, scale: 2, dropout: 0 }))
const session = new (native().Session)(base.weights, {
  ...{ slots: kind === 'training' ? slots : [], overlay: [], training: kind === 'training' },
  ...{ threads: Number(threads), rowsPerPass: 512, longestExample: 128 },
})
const ready = performance.now()
base.tokenizer.encode('The first text.')
const tokenizer = performance.now()
console.log(
  JSON.stringify({
    open: (opened - start) / 1000,
    ready: (ready - start) / 1000,
    tokenizer: (tokenizer - ready) / 1000,
    import: start / 1000,
  }),
)
session.close()
await base.close()
