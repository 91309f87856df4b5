/**
 * Puts the programs that tests compare with into test/.peers: node-llama-cpp without its GPU packages, and a Python
 * environment with torch, transformers, peft and gguf. They take about 2 GB, so they are no dependencies; tests that
 * need them are skipped where they are absent.
 *
 *   node scripts/install-peers.mjs [--llama-cpp] [--python]     default: both
 *
 * PIP_EXTRA_INDEX_URL with PyTorch's CPU wheels saves most of the download.
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const LLAMA_CPP = '3.22.1'
const PYTHON = ['torch==2.13.0', 'transformers==5.23.0', 'peft==0.21.2', 'gguf==0.19.0', 'safetensors==0.8.0']
const BINARIES = {
  'linux-x64': 'linux-x64',
  'linux-arm64': 'linux-arm64',
  'darwin-arm64': 'mac-arm64-metal',
  'darwin-x64': 'mac-x64',
  'win32-x64': 'win-x64',
  'win32-arm64': 'win-arm64',
}

const folder = fileURLToPath(new URL('../test/.peers', import.meta.url))
const flags = process.argv.slice(2)
const wants = (name) => flags.length === 0 || flags.includes(name)

function run(command, words) {
  console.log(`> ${command} ${words.join(' ')}`)
  const { status } = spawnSync(command, words, { cwd: folder, stdio: 'inherit', shell: process.platform === 'win32' })
  if (status !== 0) process.exit(status ?? 1)
}

mkdirSync(folder, { recursive: true })
if (wants('--llama-cpp')) {
  writeFileSync(join(folder, 'package.json'), '{ "private": true }\n')
  // Its binaries are optional dependencies, one a machine and GPU: 670 MB with CUDA and Vulkan, 30 MB for this CPU alone.
  const binary = BINARIES[`${process.platform}-${process.arch}`]
  const packages = [`node-llama-cpp@${LLAMA_CPP}`, ...(binary ? [`@node-llama-cpp/${binary}@${LLAMA_CPP}`] : [])]
  run('npm', ['install', '--omit=optional', '--ignore-scripts', '--no-audit', ...packages])
}
if (wants('--python')) {
  run('python3', ['-m', 'venv', 'python'])
  run(join(folder, 'python', 'bin', 'pip'), ['install', ...PYTHON])
}
