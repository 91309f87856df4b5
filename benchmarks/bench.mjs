// npm run bench                  every question without peers, as a table (under ten minutes on two cores)
// npm run bench -- NAME [flags]  one question, one file each
//   --json      rows of JSON on stdout, nothing else
//   --out FILE  appends the rows to a file as well
// A row: what was measured, its shape, who did it, the 20th, 50th and 80th percentile, its share of the machine's peak
// where that means something, and where: timings of different machines are not comparable, ratios within one run are.
import { execFileSync } from 'node:child_process'
import { appendFileSync, readdirSync, readFileSync } from 'node:fs'
import os from 'node:os'
import { native } from '../dist/native/load.js'

// A file here answers a question where it exports run({ emit, flag, has }).
const isQuestion = (name) =>
  /^export (async )?function run\(/m.test(readFileSync(new URL(name, import.meta.url), 'utf8'))
const names = readdirSync(new URL('.', import.meta.url))
  .filter((name) => name.endsWith('.mjs') && name !== 'bench.mjs' && isQuestion(name))
  .map((name) => name.slice(0, -4))

function commit() {
  try {
    const git = (...args) =>
      execFileSync('git', args, {
        cwd: new URL('..', import.meta.url),
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      })
    return (
      git('rev-parse', '--short', 'HEAD').trim() +
      (git('status', '--porcelain', '--', 'src', 'native') === '' ? '' : '+')
    )
  } catch {
    return `version ${JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')).version}`
  }
}

/** The value after --name, or `otherwise`. */
function flag(args, name, otherwise) {
  const at = args.indexOf(`--${name}`)
  return at < 0 ? otherwise : args[at + 1]
}

/** One line of the table. */
function line({ what, shape, provider, threads, p20, p50, p80, unit, share_of_peak: share }) {
  const numbers = p20 === p80 ? `${p50}` : `${p50} (${p20} to ${p80})`
  const of = share === undefined ? '' : `  ${(share * 100).toFixed(0)} % of peak`
  const described = Object.entries(shape ?? {}).map(([name, value]) => `${name} ${value}`)
  return `${what}, ${provider}, ${threads} threads: ${numbers} ${unit}${of}   [${described.join(', ')}]`
}

const args = process.argv.slice(2)
const name = args[0]?.startsWith('--') ? undefined : args.shift()
const usage = `usage: npm run bench [-- NAME] [--json] [--out FILE]\nNAME is one of: ${names.join(', ')}; without one, all but peers`
if (args.includes('--help')) {
  console.log(usage)
  process.exit(0)
}
if (name !== undefined && !names.includes(name)) {
  console.error(usage)
  process.exit(2)
}
const has = (wanted) => args.includes(`--${wanted}`)
const { isa, cores } = native().cpu()
const where = { device: os.cpus()[0]?.model ?? process.arch, cores, isa, commit: commit() }
const file = flag(args, 'out')
const emit = (row) => {
  const text = JSON.stringify({ ...row, ...where })
  console.log(has('json') ? text : line(row))
  if (file !== undefined) appendFileSync(file, `${text}\n`)
}
if (!has('json')) console.log(`${where.device}, ${cores} cores, ${isa}, commit ${where.commit}`)
// Peers need Python, and minutes to set it up.
for (const one of name === undefined ? names.filter((each) => each !== 'peers') : [name]) {
  if (!has('json') && name === undefined) console.log(`\n${one}`)
  try {
    const { run } = await import(`./${one}.mjs`)
    await run({ emit, flag: (wanted, otherwise) => flag(args, wanted, otherwise), has })
  } catch (error) {
    // Of all questions, one that cannot be asked here (a model that is not there) does not stop the others.
    if (name !== undefined) throw error
    console.error(`${one}: ${error instanceof Error ? error.message : error}`)
    process.exitCode = 1
  }
}
