// The op table under AddressSanitizer and UndefinedBehaviorSanitizer: node test/native/sanitize.mjs [native_tests flags]
// Compiles engine, kernels and tests into build/sanitize and runs them; what is newer than its sources and every header
// is kept. Sources, defines and flags of each instruction set are read from binding.gyp, so they exist once.
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { runInNewContext } from 'node:vm'

const root = fileURLToPath(new URL('../..', import.meta.url))
const out = path.join(root, 'build/sanitize')
const compiler = process.env.CXX ?? 'g++'
const sanitizers = ['-fsanitize=address,undefined', '-fno-sanitize-recover=all', '-fno-omit-frame-pointer']

// A .gyp file is a literal that JavaScript can read too, once its comment lines are gone.
const gyp = runInNewContext(`(${readFileSync(path.join(root, 'binding.gyp'), 'utf8').replace(/^\s*#.*$/gm, '')})`)
const base = gyp.target_defaults

/** The files behind a gyp command expansion, '<!@(node scripts/native-sources.cjs ..)'. */
function expand([expansion]) {
  const [command, ...args] = expansion.slice('<!@('.length, -1).split(' ')
  return execFileSync(command, args, { cwd: root, encoding: 'utf8' }).split('\n').filter(Boolean)
}

/** Every target of the file, those under a condition too. */
function targetsOf(node) {
  const conditional = (node.conditions ?? []).flatMap(([, then]) => targetsOf(then))
  return [...(node.targets ?? []), ...conditional]
}

const x64 = process.arch === 'x64'
const targets = targetsOf(gyp)
const kernels = targets.filter(
  (t) => t.target_name.startsWith('kernels_') && (x64 || t.target_name === 'kernels_scalar'),
)
const tests = targets.find((t) => t.target_name === 'native_tests')
const common = [...base.cflags, ...base.cflags_cc, '-O1', '-g', '-pthread', '-Inative', ...sanitizers]
if (x64) common.push('-DONEROUND_X86=1')

const units = [
  ...kernels.flatMap((target) =>
    expand(gyp.variables.kernel_sources).map((source) => ({
      source,
      flags: [...target.defines.map((define) => `-D${define}`), ...(target.cflags ?? [])],
      object: path.join(out, `${target.target_name}.${path.basename(source)}.o`),
    })),
  ),
  ...[...expand(gyp.variables.engine_sources), ...expand(tests.sources)].map((source) => ({
    source,
    flags: [],
    object: path.join(out, `${source.replaceAll('/', '.')}.o`),
  })),
]

/** The newest change of a header below a folder, in milliseconds. */
function newestHeader(folder) {
  const names = readdirSync(path.join(root, folder), { recursive: true }).filter((name) => name.endsWith('.h'))
  return Math.max(0, ...names.map((name) => statSync(path.join(root, folder, name)).mtimeMs))
}

const headers = Math.max(
  newestHeader('native'),
  newestHeader('test/native'),
  statSync(path.join(root, 'binding.gyp')).mtimeMs,
)

function compile({ source, flags, object }) {
  if (existsSync(object)) {
    const built = statSync(object).mtimeMs
    if (built > headers && built > statSync(path.join(root, source)).mtimeMs) return Promise.resolve()
  }
  return new Promise((resolve, reject) => {
    const args = [...common, ...flags, '-c', source, '-o', object]
    const child = spawn(compiler, args, { cwd: root, stdio: 'inherit' })
    child.on('error', reject)
    child.on('exit', (code) => (code === 0 ? resolve() : reject(new Error(`${compiler} failed on ${source}`))))
  })
}

async function main() {
  mkdirSync(out, { recursive: true })
  const waiting = [...units]
  const worker = async () => {
    for (let unit = waiting.shift(); unit !== undefined; unit = waiting.shift()) await compile(unit)
  }
  await Promise.all(Array.from({ length: os.availableParallelism() }, worker))
  const executable = path.join(out, 'native_tests')
  execFileSync(compiler, ['-pthread', ...sanitizers, ...units.map((unit) => unit.object), '-o', executable], {
    cwd: root,
    stdio: 'inherit',
  })
  const { status, signal } = spawnSync(executable, process.argv.slice(2), { stdio: 'inherit' })
  if (signal !== null) console.error(`native_tests ended by ${signal}`)
  return status ?? 1
}

main().then(
  (code) => process.exit(code),
  (error) => {
    console.error(error.message)
    process.exit(1)
  },
)
