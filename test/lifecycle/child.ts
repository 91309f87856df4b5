/** Processes of their own, running work.mjs on the built package. */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { writeTinyBase } from '../cli/tiny-base.js'

export const workFile = fileURLToPath(new URL('work.mjs', import.meta.url))

/** A folder with a tiny base in it, removed at the end. */
export function scratch(): Disposable & { folder: string; source: string } {
  const folder = mkdtempSync(join(tmpdir(), 'oneround-'))
  const source = join(folder, 'base')
  writeTinyBase(source)
  return { folder, source, [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }) }
}

export interface Ended {
  code: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

/** Starts one of work.mjs's modes. `onText` sees all that it has printed so far. */
export function run(args: readonly string[], onText?: (stdout: string, child: ChildProcess) => void): Promise<Ended> {
  if (!existsSync(fileURLToPath(new URL('../../dist/index.js', import.meta.url))))
    throw new Error('dist/ is not built: npm run build:ts')
  const child = spawn(process.execPath, ['--expose-gc', workFile, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
    onText?.(stdout, child)
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }))
  })
}
