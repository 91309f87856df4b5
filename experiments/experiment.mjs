// npm run experiment -- STUDY [--out FOLDER] [--jobs N] [--only CELLS]
//   draws a study's cells at its seeds, each in a process of its own, and writes experiments/results/STUDY.json. A draw that
//   is finished in FOLDER (default run/experiments) is not redone, also when the study has more seeds now; a stopped one
//   goes on where it was.
//   --jobs N   draws at once, the cores shared evenly (default: one a core: small models use one core best)
//   --only A,B cells by number, without writing results
import { execFileSync, spawn } from 'node:child_process'
import { mkdir, readFile } from 'node:fs/promises'
import os from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { native } from '../dist/native/load.js'
import { writeAtomic } from '../dist/run/atomic.js'
import { recordOf } from './record.mjs'
import { readStudy, studyNames } from './study.mjs'

const cores = os.availableParallelism()
const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    out: { type: 'string', default: 'run/experiments' },
    jobs: { type: 'string', default: String(cores) },
    only: { type: 'string' },
  },
})
const [name] = positionals
const jobs = Number(flags.jobs)
if (!studyNames.includes(name) || !Number.isInteger(jobs) || jobs < 1) {
  console.error(
    `usage: npm run experiment -- STUDY [--out FOLDER] [--jobs N] [--only CELLS]\nSTUDY is one of: ${studyNames.join(', ')}`,
  )
  process.exit(2)
}
const study = readStudy(name)
const wanted = flags.only === undefined ? study.cells.map((_, i) => i) : flags.only.split(',').map(Number)
await mkdir(flags.out, { recursive: true })
// All cells at one seed, then at the next: a study that is stopped has about as many draws of each.
const queue = study.seeds.flatMap((seed) => wanted.map((index) => ({ index, seed })))
await Promise.all(Array.from({ length: Math.min(jobs, queue.length) }, worker))
if (flags.only === undefined) {
  const drawsOf = (index) => Promise.all(study.seeds.map((seed) => readDraw({ index, seed })))
  const cells = await Promise.all(wanted.map(async (index) => recordOf(await drawsOf(index))))
  const { title, question, claims } = study
  const where = { device: os.cpus()[0]?.model ?? process.arch, cores, isa: native().cpu().isa, commit: commit() }
  const file = fileURLToPath(new URL(`results/${name}.json`, import.meta.url))
  await writeAtomic(
    file,
    `${JSON.stringify({ study: name, title, question, claims, ...where, cells }, undefined, 1)}\n`,
  )
  console.log(`${cells.length} cells, written to experiments/results/${name}.json`)
}

async function worker() {
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    if ((await readDraw(next)) !== undefined) continue
    await writeAtomic(drawFile(next), await runDraw(next))
    const { index, seed } = next
    console.log(`${name} ${index} of ${study.cells.length}, seed ${seed}: ${JSON.stringify(study.cells[index].varied)}`)
  }
}

function drawFile({ index, seed }) {
  return join(flags.out, `${name}-${index}-seed-${seed}.json`)
}

/** Undefined where the draw is not finished, or where it was another one. */
async function readDraw({ index, seed }) {
  const text = await readFile(drawFile({ index, seed }), 'utf8').catch(() => undefined)
  const draw = text === undefined ? undefined : JSON.parse(text)
  return JSON.stringify([draw?.settings, draw?.seed]) === JSON.stringify([study.cells[index], seed]) ? draw : undefined
}

function runDraw({ index, seed }) {
  const threads = Math.max(1, Math.floor(cores / jobs))
  const child = spawn(
    process.execPath,
    [
      fileURLToPath(new URL('draw.mjs', import.meta.url)),
      name,
      String(index),
      String(seed),
      flags.out,
      String(threads),
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  const stop = () => child.kill('SIGINT')
  process.once('SIGINT', stop)
  let text = ''
  child.stdout.setEncoding('utf8').on('data', (part) => {
    text += part
  })
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => {
      process.off('SIGINT', stop)
      if (code === 0) resolve(text)
      else reject(new Error(`${name} ${index} at seed ${seed} ended with ${code}`))
    })
  })
}

function commit() {
  const git = (...args) => execFileSync('git', args, { cwd: new URL('..', import.meta.url), encoding: 'utf8' })
  const changed = git('status', '--porcelain', '--', 'src', 'native', 'experiments/*.mjs', 'experiments/studies')
  return git('rev-parse', '--short', 'HEAD').trim() + (changed === '' ? '' : '+')
}
