// What a process of its own, or a worker, does in the lifecycle tests: uses the built package as a user would.
import { parentPort, workerData } from 'node:worker_threads'
import { createPlan, loadExamples, openModel, simulate, train } from '../../dist/index.js'

/** Rows enough that a training takes seconds. */
const rows = (word, count) => Array.from({ length: count }, (_, i) => ({ text: `${word} ${i} `.repeat(12) }))

export async function setUp(source, count = 400) {
  const base = await openModel(source)
  const options = { template: 'text', cutoff: 96, lossOn: 'all', tokenizer: base.tokenizer }
  const clients = {
    north: await loadExamples(rows('snow', count), options),
    south: await loadExamples(rows('sand', count), options),
  }
  const plan = await createPlan(base, {
    rank: 4,
    alpha: 8,
    epochs: 2,
    batch: 32,
    learningRate: 1e-3,
    cutoff: 96,
    heldOut: 0.02,
    clients: ['north', 'south'],
  })
  return { base, clients, plan }
}

/** Trains and tells every step; ends only when it is done. */
export async function trainTelling(source, tell) {
  const { base, clients, plan } = await setUp(source)
  await train(base, clients.north, plan, { client: 'north', threads: 2, onStep: ({ step }) => tell(step) })
}

const modes = {
  /** process.exit in the middle of a step */
  async exit(source) {
    await trainTelling(source, (step) => {
      if (step === 2) setTimeout(() => process.exit(7), 20)
    })
  },

  /** an exception that nobody catches, in the middle of a step */
  async throw(source) {
    await trainTelling(source, (step) => {
      if (step === 2)
        setTimeout(() => {
          throw new Error('on purpose')
        }, 20)
    })
  },

  /** the end of the program while a training that nobody waits for is stopped by a signal */
  async abandon(source) {
    const { base, clients, plan } = await setUp(source)
    const controller = new AbortController()
    train(base, clients.north, plan, {
      client: 'north',
      signal: controller.signal,
      onStep: ({ step }) => step === 2 && controller.abort(),
    }).catch((error) => console.log(error.code))
  },

  /** a simulation that the parent kills */
  async simulate(source, folder) {
    const { base, clients, plan } = await setUp(source, 120)
    let last
    const onProgress = ({ phase, client, done, total }) => {
      const line = `${phase} ${client ?? ''} ${done === total ? 'end' : ''}`
      if (line !== last) process.stdout.write(`${line}\n`)
      last = line
    }
    await simulate(base, clients, plan, {
      folder,
      resume: true,
      threads: 2,
      compare: ['base', '1x2', '2x1'],
      checkpointSeconds: 0,
      onProgress,
    })
    process.stdout.write('done\n')
  },

  /** how late timers come while a training runs: the 99th percentile, in ms */
  async lag(source) {
    const { base, clients, plan } = await setUp(source, 150)
    const lags = []
    let expected = performance.now() + 5
    const timer = setInterval(() => {
      const now = performance.now()
      lags.push(Math.max(0, now - expected))
      expected = now + 5
    }, 5)
    // long enough for the percentile to mean something, however fast a training is
    const began = performance.now()
    while (performance.now() - began < 1500) await train(base, clients.north, plan, { client: 'north' })
    clearInterval(timer)
    lags.sort((a, b) => a - b)
    console.log(JSON.stringify({ p99: lags[Math.floor(lags.length * 0.99)], count: lags.length }))
  },

  /** opens, trains, closes, again and again; bytes of the process after each tenth */
  async reopen(source) {
    const rss = []
    for (let i = 0; i < 120; i++) {
      const { base, clients, plan } = await setUp(source, 12)
      await train(base, clients.north, plan, { client: 'north' })
      await base.close()
      if (i % 10 === 9) {
        globalThis.gc()
        await new Promise((resolve) => setTimeout(resolve, 20))
        rss.push(process.memoryUsage().rss)
      }
    }
    console.log(JSON.stringify(rss))
  },
}

if (workerData?.source !== undefined) await trainTelling(workerData.source, (step) => parentPort?.postMessage(step))
else if (process.argv[2] in modes) await modes[process.argv[2]](...process.argv.slice(3))
