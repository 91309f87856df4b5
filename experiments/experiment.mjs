// npm run experiment -- STUDY [--out FOLDER] [--jobs N] [--only CELLS]
//   runs a study's cells, each in a process of its own, and writes experiments/results/STUDY.json. A cell that is
//   finished in FOLDER (default run/experiments) is not redone; a stopped one goes on where its runs are.
//   --jobs N   cells at once, the cores shared evenly (default: one a core: small models use one core best)
//   --only A,B cells by number, without writing results
import { execFileSync, spawn } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import os from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { native } from '../dist/native/load.js'
import { writeAtomic } from '../dist/run/atomic.js'
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
const queue = [...wanted]
await Promise.all(Array.from({ length: Math.min(jobs, queue.length) }, worker))
if (flags.only === undefined) {
  const cells = await Promise.all(wanted.map(readRecord))
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
  for (let index = queue.shift(); index !== undefined; index = queue.shift()) {
    if ((await readRecord(index)) !== undefined) continue
    await writeFile(recordFile(index), await runCell(index))
    console.log(`${name} ${index} of ${study.cells.length}: ${JSON.stringify(study.cells[index].varied)}`)
  }
}

function recordFile(index) {
  return join(flags.out, `${name}-${index}.json`)
}

/** Undefined where the cell is not finished, or where it was another one. */
async function readRecord(index) {
  const text = await readFile(recordFile(index), 'utf8').catch(() => undefined)
  const record = text === undefined ? undefined : JSON.parse(text)
  const isSame = JSON.stringify([record?.settings, record?.seeds]) === JSON.stringify([study.cells[index], study.seeds])
  return isSame ? record : undefined
}

function runCell(index) {
  const threads = Math.max(1, Math.floor(cores / jobs))
  const child = spawn(
    process.execPath,
    [fileURLToPath(new URL('cell.mjs', import.meta.url)), name, String(index), flags.out, String(threads)],
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
      else reject(new Error(`${name} ${index} ended with ${code}`))
    })
  })
}

function commit() {
  const git = (...args) => execFileSync('git', args, { cwd: new URL('..', import.meta.url), encoding: 'utf8' })
  const changed = git('status', '--porcelain', '--', 'src', 'native', 'experiments/*.mjs', 'experiments/studies')
  return git('rev-parse', '--short', 'HEAD').trim() + (changed === '' ? '' : '+')
}
