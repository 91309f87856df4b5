// Resident memory of this process while many tiny clients train once each, on the base that ships with the package.
// Prints one JSON row. arguments: CLIENTS THREADS [CLIENT_BATCHING]
import { mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { fileURLToPath } from 'node:url'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { loadExamples } from '../dist/data/load.js'
import { simulate } from '../dist/federation/simulate.js'
import { openModel } from '../dist/model/open.js'
import { createPlan } from '../dist/update/create-plan.js'

const [most, threads, clientBatching] = process.argv.slice(2).map(Number)
// What nobody refers to is not counted: the question is what is kept.
setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc')
const resident = () => {
  collect()
  return process.memoryUsage.rss() / 2 ** 20
}

const place = mkdtempSync(join(os.tmpdir(), 'oneround-bench-'))
try {
  const base = await openModel(fileURLToPath(new URL('../base', import.meta.url)))
  const clients = {}
  for (let i = 0; i < most; i++) {
    const rows = [0, 1].map((row) => ({
      text: `Client ${i} keeps to itself what it wrote on page ${row} of its book.`,
    }))
    clients[`client-${String(i).padStart(5, '0')}`] = await loadExamples(rows, {
      template: 'text',
      cutoff: 64,
      lossOn: 'all',
      tokenizer: base.tokenizer,
    })
  }
  const plan = await createPlan(base, {
    clients: Object.keys(clients),
    rank: 4,
    epochs: 1,
    batch: 1,
    cutoff: 64,
    heldOut: 0.5,
  })
  const factors = plan.layers.reduce((sum, layer) => sum + layer.rank * (layer.in + layer.out), 0)
  const mib = {}
  const seen = new Set()
  const began = performance.now()
  await simulate(base, clients, plan, {
    compare: ['1x1'],
    folder: join(place, 'run'),
    threads,
    ...(clientBatching > 0 ? { clientBatching } : {}),
    onProgress({ phase, client, done, total }) {
      if (!phase.startsWith('train') || client === undefined || done < total || seen.has(client)) return
      seen.add(client)
      if (/^10*$/.test(String(seen.size)) && seen.size > 1) mib[seen.size] = resident()
    },
  })
  const seconds = (performance.now() - began) / 1000
  mib.end = resident()
  await base.close()
  console.log(JSON.stringify({ mib, seconds, updates_mib: (most * factors * 4) / 2 ** 20 }))
} finally {
  rmSync(place, { recursive: true, force: true })
}
