// npm run bench -- NAME [flags]: answers one question, one file each; every answer is rows of JSON on stdout.
// --out FILE appends the rows to a file as well. A row: what was measured, its shape, who did it, the 20th, 50th and
// 80th percentile, and where: timings of different machines are not comparable, ratios within one run are.
import { execFileSync } from 'node:child_process'
import { appendFileSync, readdirSync, readFileSync } from 'node:fs'
import os from 'node:os'
import { native } from '../dist/native/load.js'

const own = new Set(['bench.mjs', 'percentiles.mjs', 'aggregate-data.mjs'])
const names = readdirSync(new URL('.', import.meta.url))
  .filter((name) => name.endsWith('.mjs') && !own.has(name) && !name.endsWith('-child.mjs'))
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

const [name, ...args] = process.argv.slice(2)
if (!names.includes(name)) {
  console.error(`usage: npm run bench -- NAME [--out FILE]\nNAME is one of: ${names.join(', ')}`)
  process.exit(2)
}
const { isa, cores } = native().cpu()
const where = {
  device: os.cpus()[0]?.model ?? process.arch,
  cores,
  isa,
  commit: commit(),
}
const file = flag(args, 'out')
const emit = (row) => {
  const line = JSON.stringify({ ...row, ...where })
  console.log(line)
  if (file !== undefined) appendFileSync(file, `${line}\n`)
}
const { run } = await import(`./${name}.mjs`)
await run({
  emit,
  flag: (wanted, otherwise) => flag(args, wanted, otherwise),
  has: (wanted) => args.includes(`--${wanted}`),
})
