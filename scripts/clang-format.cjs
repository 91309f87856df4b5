// Formats the C++ sources in place; with --check it only tells which lines differ and fails.
const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')

const root = path.join(__dirname, '..')

/** Every .cc and .h below a folder, relative to the repository's root. */
function sources(folder) {
  return fs
    .readdirSync(path.join(root, folder), { recursive: true })
    .filter((name) => /\.(cc|h)$/.test(name))
    .map((name) => path.join(folder, name))
    .sort()
}

const files = ['native', path.join('test', 'native')].flatMap(sources)
const flags = process.argv.includes('--check') ? ['--dry-run', '--Werror'] : ['-i']
// The npm package clang-format carries the binary for Linux x64 and macOS; elsewhere there is nothing to run.
const command = path.join(root, 'node_modules', '.bin', 'clang-format')
const here = process.platform === 'darwin' || (process.platform === 'linux' && process.arch === 'x64')
if (!here || !fs.existsSync(command)) {
  console.log('clang-format: not available here, C++ formatting not checked')
} else if (files.length > 0) {
  process.exitCode =
    spawnSync(command, ['--style=file', ...flags, ...files], { cwd: root, stdio: 'inherit' }).status ?? 1
}
