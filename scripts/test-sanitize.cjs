// Runs the native tests under AddressSanitizer with UndefinedBehaviorSanitizer, then under ThreadSanitizer:
//   node scripts/test-sanitize.cjs [address] [thread] [-- flags of native_tests]
// Each has a build of its own (build/Debug, build/Thread), so that no object of one is linked into the other.
const { spawnSync } = require('node:child_process')
const path = require('node:path')
const { build, configurations } = require('./native-build.cjs')

const root = path.join(__dirname, '..')

/** @returns what went wrong, or undefined */
function run(sanitize, flags) {
  const { failed } = build({ tests: true, sanitize })
  if (failed !== undefined) return `the build failed: ${failed}`
  const executable = path.join(root, 'build', configurations[sanitize], 'native_tests')
  const { status, signal, error } = spawnSync(executable, flags, {
    stdio: ['ignore', 'inherit', 'inherit'],
    // The first report is the end: what follows a race is noise.
    env: { ...process.env, TSAN_OPTIONS: 'halt_on_error=1', ASAN_OPTIONS: 'detect_leaks=1' },
  })
  if (status === 0) return undefined
  return error ? String(error) : `native_tests ended with ${signal ?? `exit code ${status}`}`
}

const all = process.argv.slice(2)
const split = all.indexOf('--')
const names = split < 0 ? all : all.slice(0, split)
const flags = split < 0 ? [] : all.slice(split + 1)
const unknown = names.find((name) => !Object.hasOwn(configurations, name))
if (unknown !== undefined) {
  console.error(`unknown sanitizer ${unknown}; one of ${Object.keys(configurations).join(', ')}`)
  process.exit(2)
}
for (const sanitize of names.length > 0 ? names : Object.keys(configurations)) {
  const began = Date.now()
  const problem = run(sanitize, flags)
  console.log(`${sanitize} sanitizer: ${problem ?? 'nothing found'} (${Math.round((Date.now() - began) / 1000)} s)`)
  if (problem !== undefined) process.exitCode = 1
}
