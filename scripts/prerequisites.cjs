// What a build of the addon needs, and one sentence for each thing that is missing.
const { spawnSync } = require('node:child_process')

/** How to get packages on this system, as the end of a sentence. */
function install(debian, apple) {
  if (process.platform === 'darwin') return `install it with: ${apple}`
  return `install it with your system's package manager, on Debian or Ubuntu: sudo apt-get install ${debian}`
}

function runs(command, args, input) {
  const result = spawnSync(command, args, { input, encoding: 'utf8' })
  return result.error === undefined && result.status === 0
}

const cpp20 = '#include <bit>\n#include <concepts>\n#include <span>\nint main() { return std::bit_width(0u); }\n'

/** Sentences, one for each missing thing; empty where all is there. `has` tells whether a command runs. */
function missing({
  nodeVersion = process.versions.node,
  platform = process.platform,
  env = process.env,
  has = runs,
} = {}) {
  const sentences = []
  const major = Number(nodeVersion.split('.')[0])
  if (major < 20)
    sentences.push(
      `oneround needs Node 20 or newer and this is Node ${nodeVersion}: install a newer one from nodejs.org.`,
    )
  if (platform === 'win32') {
    sentences.push('oneround builds on Linux and macOS and this is Windows: use the Windows Subsystem for Linux.')
    return sentences
  }
  // What gyp's Makefile will call.
  const compiler = env.CXX || (platform === 'darwin' ? 'c++' : 'g++')
  const [command, ...flags] = compiler.split(' ')
  if (!has(command, ['--version'])) {
    sentences.push(
      `oneround needs a C++20 compiler and "${compiler}" does not run: ${install('g++', 'xcode-select --install')}, or name another in CXX.`,
    )
  } else if (!has(command, [...flags, '-std=c++20', '-x', 'c++', '-fsyntax-only', '-'], cpp20)) {
    sentences.push(
      `oneround needs a C++20 compiler and "${compiler}" is too old for it: use g++ 11, clang 14 or newer, and name it in CXX.`,
    )
  }
  if (!has(env.MAKE || 'make', ['--version'])) {
    sentences.push(
      `oneround needs make and "${env.MAKE || 'make'}" does not run: ${install('make', 'xcode-select --install')}.`,
    )
  }
  const python = env.PYTHON || env.npm_config_python || 'python3'
  if (!has(python, ['-c', 'import sys; sys.exit(sys.version_info < (3, 8))'])) {
    sentences.push(
      `oneround needs Python 3.8 or newer for node-gyp and "${python}" is none: ${install('python3', 'xcode-select --install')}.`,
    )
  }
  return sentences
}

module.exports = { missing }
