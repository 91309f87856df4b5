// How long is it from openModel until the first step can start, the file being in the page cache?
//   npm run bench -- open [--model FILE,DIR,.. --runs 5 --threads N]
// Rows: opening (headers, vocabulary), until a session of 4 x 128 rows is there, and the tokenizer, which is built at its
// first use and not before.
import { spawnSync } from 'node:child_process'
import os from 'node:os'
import { fileURLToPath } from 'node:url'
import { percentiles } from './percentiles.mjs'

const shared = (path) => fileURLToPath(new URL(`../../shared/${path}`, import.meta.url))
const rows = {
  open: 'open',
  ready: 'open until the first step can start',
  tokenizer: 'tokenizer, built at its first use',
  import: 'start of Node and imports',
}

export async function run({ emit, flag }) {
  const models = flag('model', shared('models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf')).split(',')
  const runs = Number(flag('runs', 5))
  const threads = Number(flag('threads', os.availableParallelism()))
  const child = fileURLToPath(new URL('open-child.mjs', import.meta.url))
  for (const model of models)
    for (const kind of ['training', 'scoring']) {
      const measured = []
      // The first run fills the page cache.
      for (let i = 0; i <= runs; i++) {
        const result = spawnSync(process.execPath, [child, model, String(threads), kind], { encoding: 'utf8' })
        if (result.status !== 0) throw new Error(`open-child.mjs failed:\n${result.error ?? result.stderr}`)
        if (i > 0) measured.push(JSON.parse(result.stdout.trimEnd().split('\n').at(-1)))
      }
      const shape = { model: model.split('/').at(-1), session: kind, runs }
      for (const [key, what] of Object.entries(rows))
        emit({ what, unit: 's', shape, provider: 'oneround', threads, ...percentiles(measured.map((row) => row[key])) })
    }
}
