import { type ChildProcess, spawn } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

const root = fileURLToPath(new URL('../..', import.meta.url))

/**
 * The sources as a package of their own, compiled without type checks, so that these tests neither need nor disturb
 * dist/. The addon and the dependencies are the repository's.
 * @returns the path of main.js
 */
export function buildCli(folder: string): string {
  const target = join(folder, 'package')
  const files = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.ts'),
  )
  for (const name of files) {
    const compiled = ts.transpileModule(readFileSync(join(root, 'src', name), 'utf8'), {
      compilerOptions: { target: ts.ScriptTarget.ES2023, module: ts.ModuleKind.ESNext, verbatimModuleSyntax: true },
    })
    const file = join(target, 'dist', name.replace(/\.ts$/, '.js'))
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, compiled.outputText)
  }
  for (const name of ['package.json', 'binding.gyp']) copyFileSync(join(root, name), join(target, name))
  for (const name of ['node_modules', 'build']) symlinkSync(join(root, name), join(target, name))
  return join(target, 'dist', 'cli', 'main.js')
}

export function temporary(): string {
  return mkdtempSync(join(tmpdir(), 'oneround-cli-'))
}

export interface Ended {
  code: number | null
  out: string
  err: string
}

/** Starts one command line as a process of its own. */
export function start(
  main: string,
  cwd: string,
  words: readonly string[],
): { child: ChildProcess; ended: Promise<Ended> } {
  const child = spawn(process.execPath, [main, ...words], { cwd, stdio: ['ignore', 'pipe', 'pipe'] })
  let out = ''
  let err = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text
  })
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, out, err }))
  })
  return { child, ended }
}
