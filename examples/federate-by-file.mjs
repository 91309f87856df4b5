// A federation as it runs between organisations: every client is a process of its own that sees only its own data, the
// server is one that sees only update files, and files are all that passes between them.
//
//   node examples/federate-by-file.mjs [BASE] [FOLDER] [ROUNDS]
//
// Each step is one command of the command line, printed as it is run, so that the same can be done by hand.
import { spawn } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const base = process.argv[2] ?? fileURLToPath(new URL('../base', import.meta.url))
const folder = process.argv[3] ?? 'run/by-file'
const rounds = Number(process.argv[4] ?? 2)

const texts = {
  north: ['The dough rests before it is folded.', 'A hot oven makes a thin crust.', 'Rye bread keeps for a week.'],
  south: ['The wind backs before the rain.', 'The tide turns twice a day.', 'Lines are coiled with the sun.'],
}
const clients = Object.keys(texts)

/** One command of oneround in a process of its own; resolves when it has succeeded. */
function oneround(...args) {
  console.log(`$ oneround ${args.join(' ')}`)
  const main = fileURLToPath(new URL('./cli/main.js', import.meta.resolve('oneround')))
  const child = spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'ignore', 'inherit'] })
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code) => (code === 0 ? resolve() : reject(new Error(`oneround ${args[0]} ended with ${code}`))))
  })
}

// Each client's data, in a folder that only it can read.
for (const [name, lines] of Object.entries(texts)) {
  await mkdir(join(folder, name), { recursive: true })
  const rows = Array.from({ length: 4 }, () => lines).flat()
  await writeFile(join(folder, name, 'data.jsonl'), rows.map((text) => `${JSON.stringify({ text })}\n`).join(''))
}

// The agreement, made once and given to everybody.
const plan = join(folder, 'plan.json')
const settings = [
  '--rounds',
  rounds,
  '--epochs',
  1,
  '--rank',
  4,
  '--batch',
  4,
  '--learning-rate',
  0.002,
  '--cutoff',
  64,
].map(String)
await oneround('plan', '--base', base, '--clients', clients.join(','), ...settings, '--out', plan)

let start = []
for (let round = 1; round <= rounds; round++) {
  // At the clients, all at the same time: data in, one update file out.
  const updates = clients.map((client) => join(folder, client, `${client}.${round}.update.safetensors`))
  await Promise.all(
    clients.map((client, i) =>
      oneround(
        'train',
        plan,
        '--client',
        client,
        '--data',
        join(folder, client, 'data.jsonl'),
        '--base',
        base,
        '--round',
        String(round),
        ...start,
        '--out',
        updates[i],
      ),
    ),
  )
  // At the server: update files in, one adapter out. Before the last round it is what the next one starts from.
  const adapter = join(folder, `after-${round}`)
  await oneround('aggregate', plan, ...updates, '--round', String(round), ...start, '--out', adapter)
  start = ['--start', adapter]
}

console.log(`The adapter is in ${join(folder, `after-${rounds}`)}.`)
