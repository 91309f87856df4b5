/**
 * Other programs that tests compare with. They are large, so they are not dependencies: `node scripts/install-peers.mjs`
 * puts them into test/.peers. ONEROUND_PEER_PYTHON names another Python with torch, transformers and peft,
 * ONEROUND_PEER_LLAMA_CPP another node-llama-cpp (its main file). Without them these tests are skipped, with the reason.
 */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const installed = fileURLToPath(new URL('../.peers', import.meta.url))

export function peerPython(): string | undefined {
  const given = process.env.ONEROUND_PEER_PYTHON ?? join(installed, 'python', 'bin', 'python')
  return existsSync(given) ? given : undefined
}

export function peerLlamaCpp(): string | undefined {
  const own = join(installed, 'node_modules', 'node-llama-cpp', 'dist', 'index.js')
  const given = process.env.ONEROUND_PEER_LLAMA_CPP ?? (existsSync(own) ? own : besideTheOthers())
  return given !== undefined && existsSync(given) ? given : undefined
}

function besideTheOthers(): string | undefined {
  try {
    return createRequire(import.meta.url).resolve('node-llama-cpp')
  } catch {
    return undefined
  }
}

/** Why tests that need it cannot run (printed, too); undefined where it is there. */
export function missingPeer(name: string, found: string | undefined): string | undefined {
  if (found !== undefined) return undefined
  const reason = `skipped: ${name} is not installed (node scripts/install-peers.mjs)`
  console.log(reason)
  return reason
}

/** Runs a peer to its end. @returns standard output @throws with standard error where it fails */
export function runPeer(program: string, words: readonly string[], input?: string): string {
  const { status, stdout, stderr } = spawnSync(program, words, { encoding: 'utf8', input, maxBuffer: 1 << 28 })
  if (status !== 0) throw new Error(`${program} ${words.join(' ')} ended with ${status}:\n${stderr.slice(-4000)}`)
  return stdout
}
