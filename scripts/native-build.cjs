// Configures and builds the addon and, asked so, the native tests:
//   node scripts/native-build.cjs [--tests] [--sanitize [address|thread]]
// With --sanitize only the native tests are built, in the configuration of binding.gyp that has the sanitizer.
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

/** Which configuration of binding.gyp has which sanitizers; AddressSanitizer's has UndefinedBehaviorSanitizer too. */
const configurations = { address: 'Debug', thread: 'Thread' }

/** The commands of one build, each a program and its arguments. */
function commands({ tests, sanitize }) {
  const gyp = require.resolve('node-gyp/bin/node-gyp.js')
  const headers = headersBesideNode()
  const common = [...(headers === undefined ? [] : [`--nodedir=${headers}`]), '--loglevel=error']
  const jobs = Math.max(2, Math.min(8, os.availableParallelism()))
  const configure = [process.execPath, gyp, 'configure', ...common, '--', `-Doneround_tests=${tests ? 1 : 0}`]
  if (sanitize === undefined) return [configure, [process.execPath, gyp, 'build', ...common, `--jobs=${jobs}`]]
  // node-gyp builds Release and Debug only; what it has configured is a Makefile for all of them.
  const make = ['make', '--silent', '-C', 'build', `BUILDTYPE=${configurations[sanitize]}`, `--jobs=${jobs}`]
  return [configure, [...make, 'native_tests']]
}

/** Builds. With `quiet` all output is held back and returned; `failed` is the command that failed, if one did. */
function build({ tests = false, sanitize = undefined, quiet = false }) {
  let output = ''
  for (const [program, ...args] of commands({ tests, sanitize })) {
    const result = spawnSync(program, args, {
      cwd: root,
      stdio: quiet ? 'pipe' : 'inherit',
      encoding: 'utf8',
      maxBuffer: 1 << 28,
    })
    output += `${result.stdout ?? ''}${result.stderr ?? ''}`
    if (result.status !== 0) return { failed: `${program} ${args.join(' ')}`, output }
  }
  return { failed: undefined, output }
}

module.exports = { build, configurations }

if (require.main === module) {
  const flags = process.argv.slice(2)
  const at = flags.indexOf('--sanitize')
  const sanitize = at < 0 ? undefined : (flags[at + 1] ?? 'address')
  const known = at < 0 || Object.hasOwn(configurations, sanitize)
  const { failed } = known
    ? build({ tests: flags.includes('--tests') || at >= 0, sanitize })
    : { failed: `--sanitize ${sanitize} (expected: ${Object.keys(configurations).join(' or ')})` }
  if (failed !== undefined) {
    console.error(`oneround: the native build failed. The command was:\n  ${failed}`)
    process.exitCode = 1
  }
}
