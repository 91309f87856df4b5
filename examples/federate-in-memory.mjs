// A whole federation in one process: three clients, one round, compared with several rounds and with pooled text.
//
//   node examples/federate-in-memory.mjs [BASE]     BASE: a Hugging Face folder or a .gguf file; default: the embedded base
//
// In your own program the package is imported by its name; here, too, since a package may name itself.
import { fileURLToPath } from 'node:url'
import { createPlan, evaluate, loadExamples, openModel, simulate } from 'oneround'

/** Each client's own text: one row an example. */
const texts = {
  baker: [
    'The dough rests before it is folded.',
    'A hot oven makes a thin crust.',
    'Rye bread keeps for a week.',
    'Salt goes in after the yeast.',
  ],
  sailor: [
    'The wind backs before the rain.',
    'A reef is taken in before it is needed.',
    'The tide turns twice a day.',
    'Lines are coiled with the sun.',
  ],
  gardener: [
    'Beans are sown after the last frost.',
    'The old wood is cut in winter.',
    'Water the roots and not the leaves.',
    'Peas climb what they can reach.',
  ],
}

const source = process.argv[2] ?? fileURLToPath(new URL('../base', import.meta.url))
const base = await openModel(source)

const clients = {}
for (const [name, lines] of Object.entries(texts)) {
  const rows = Array.from({ length: 5 }, () => lines)
    .flat()
    .map((text) => ({ text }))
  clients[name] = await loadExamples(rows, { template: 'text', cutoff: 64, lossOn: 'all', tokenizer: base.tokenizer })
}

const plan = await createPlan(base, {
  clients: Object.keys(clients),
  rank: 8,
  epochs: 3,
  batch: 4,
  learningRate: 2e-3,
  cutoff: 64,
  heldOut: 0.2,
})

// Ctrl-C stops within a tenth of a second. With a `folder`, what is finished would be kept and gone on with.
const stop = new AbortController()
process.once('SIGINT', () => stop.abort())

const { arms, adapter } = await simulate(base, clients, plan, {
  compare: ['base', 'client', '1x3', '3x1', 'pooled'],
  signal: stop.signal,
  onProgress: ({ phase, client = '', done, total }) => {
    if (done === total) console.error(`${phase} ${client}: done`)
  },
})

console.table(
  arms.map(({ name, client = '', overall, bytesUp, bytesDown, seconds }) => ({
    name,
    client,
    loss: overall.loss,
    bytesUp,
    bytesDown,
    seconds,
  })),
)

// The adapter is a PEFT folder for whoever serves the model; here it is judged once more, on one client's text.
const score = await evaluate(base, clients.sailor, { adapter })
console.log(`sailor under the served adapter: loss ${score.loss.toFixed(3)}, perplexity ${score.perplexity.toFixed(1)}`)

await base.close()
