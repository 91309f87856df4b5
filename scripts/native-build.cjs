// Configures and builds the addon and, asked so, the native tests:
//   node scripts/native-build.cjs [--tests] [--sanitize]
// make rebuilds only what changed, so this is cheap where nothing did.
const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')

const root = path.join(__dirname, '..')

/** Headers that came with this Node, so that node-gyp need not download them; undefined where there are none. */
function headersBesideNode() {
  const prefix = path.resolve(process.execPath, '..', '..')
  return fs.existsSync(path.join(prefix, 'include', 'node', 'node.h')) ? prefix : undefined
}

/** The node-gyp commands of one build, each a list of arguments for this Node. */
function commands({ tests, sanitize }) {
  const gyp = require.resolve('node-gyp/bin/node-gyp.js')
  const headers = headersBesideNode()
  const common = [
    ...(headers === undefined ? [] : [`--nodedir=${headers}`]),
    ...(sanitize ? ['--debug'] : []),
    '--loglevel=error',
  ]
  const jobs = Math.max(2, Math.min(8, os.availableParallelism()))
  const settings = [`-Doneround_tests=${tests ? 1 : 0}`, `-Doneround_sanitize=${sanitize ? 1 : 0}`]
  return [
    [gyp, 'configure', ...common, '--', ...settings],
    [gyp, 'build', ...(sanitize ? ['native_tests'] : []), ...common, `--jobs=${jobs}`],
  ]
}

/** Builds. With `quiet` all output is held back and returned; `failed` is the command that failed, if one did. */
function build({ tests = false, sanitize = false, quiet = false }) {
  let output = ''
  for (const args of commands({ tests, sanitize })) {
    const result = spawnSync(process.execPath, args, {
      cwd: root,
      stdio: quiet ? 'pipe' : 'inherit',
      encoding: 'utf8',
      maxBuffer: 1 << 28,
    })
    output += `${result.stdout ?? ''}${result.stderr ?? ''}`
    if (result.status !== 0) return { failed: `${process.execPath} ${args.join(' ')}`, output }
  }
  return { failed: undefined, output }
}

module.exports = { build }

if (require.main === module) {
  const flags = process.argv.slice(2)
  const { failed } = build({
    tests: flags.includes('--tests') || flags.includes('--sanitize'),
    sanitize: flags.includes('--sanitize'),
  })
  if (failed !== undefined) {
    console.error(`oneround: the native build failed. The command was:\n  ${failed}`)
    process.exitCode = 1
  }
}
