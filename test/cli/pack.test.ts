/** The package as a user gets it: packed, installed without development dependencies, built, typed, run. */
import { execFileSync, spawnSync } from 'node:child_process'
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { writeTinyBase } from './tiny-base.js'

const repository = fileURLToPath(new URL('../..', import.meta.url))
const minutes = 60_000
const leftBehind = new Set(['.git', 'node_modules', 'build', 'dist', 'run', 'test'])

// What npm hands to the scripts it runs must not reach the npm that a user would start; nor must CI's strictness.
const environment = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !/^(npm_(?!config_registry)|ONEROUND_|VITEST|NODE_ENV)/i.test(name)),
)

let place: string
let packed: { filename: string; size: number; files: { path: string }[] }
let project: string

function command(name: string, args: string[], cwd: string): string {
  return execFileSync(name, args, {
    cwd,
    env: environment,
    encoding: 'utf8',
    maxBuffer: 1 << 26,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
}

beforeAll(() => {
  place = mkdtempSync(join(tmpdir(), 'oneround-pack-'))
  // Packed from a copy, so that the packing's own build of dist/ disturbs no test that runs beside this one.
  const copy = join(place, 'copy')
  cpSync(repository, copy, {
    recursive: true,
    filter: (path) => !leftBehind.has(relative(repository, path).split('/')[0]!),
  })
  symlinkSync(join(repository, 'node_modules'), join(copy, 'node_modules'))
  const report = command('npm', ['pack', '--json', '--pack-destination', place], copy)
  packed = JSON.parse(report.slice(report.indexOf('[\n')))[0]

  project = join(place, 'project')
  mkdirSync(project)
  writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'user', private: true, type: 'module' }))
  // As a newer npm does it: install scripts that nobody approved are left out.
  const flags = ['--omit=dev', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund']
  command('npm', ['install', join(place, packed.filename), ...flags], project)
}, 4 * minutes)

afterAll(() => {
  if (place !== undefined) rmSync(place, { recursive: true, force: true })
})

describe('the packed package', () => {
  it('holds what a user needs and none of the tests', () => {
    const paths = packed.files.map(({ path }) => path)
    for (const needed of [
      'dist/index.js',
      'dist/index.d.ts',
      'dist/cli/main.js',
      'native/addon.cc',
      'binding.gyp',
      'scripts/install.cjs',
      'LICENSE',
      'src/diagnose/calibration.json',
    ]) {
      expect(paths).toContain(needed)
    }
    const ours = paths.filter((path) => path !== 'src/diagnose/calibration.json')
    const kept = /^(src|test|build|benchmarks|experiments|node_modules|native\/reference)\//
    expect(ours.filter((path) => kept.test(path))).toEqual([])
    expect(packed.size).toBeLessThan(20 * 2 ** 20)
  })

  it('checks the types of a program that uses it', () => {
    copyFileSync(new URL('packed/federate.ts', import.meta.url), join(project, 'federate.ts'))
    const options = {
      target: 'ES2022',
      lib: ['ES2023', 'ESNext.Disposable'],
      module: 'NodeNext',
      moduleResolution: 'NodeNext',
      strict: true,
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      outDir: '.',
      typeRoots: [join(repository, 'node_modules', '@types')],
      types: ['node'],
    }
    writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions: options, files: ['federate.ts'] }))
    const result = spawnSync(
      process.execPath,
      [join(repository, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', '.'],
      {
        cwd: project,
        encoding: 'utf8',
      },
    )
    expect(result.stdout).toBe('')
    expect(result.status).toBe(0)
    expect(existsSync(join(project, 'federate.js'))).toBe(true)
  })

  it(
    'without its addon says what it tried; the command it names builds the addon; two clients federate',
    () => {
      writeTinyBase(join(project, 'base'))
      const federate = () =>
        spawnSync(process.execPath, ['federate.js', 'base'], { cwd: project, env: environment, encoding: 'utf8' })

      const refused = federate()
      expect(refused.status, refused.stderr).toBe(1)
      const failure = JSON.parse(refused.stdout) as { code: string; message: string; fix: string }
      expect(failure.code).toBe('NATIVE')
      expect(failure.message).toContain(join('node_modules', 'oneround', 'build', 'Release', 'oneround.node'))

      const build = /cd .* && node scripts\/install\.cjs/.exec(failure.fix)?.[0]
      expect(build).toBeDefined()
      const built = spawnSync('sh', ['-c', build!], { cwd: project, env: environment, encoding: 'utf8' })
      expect(`${built.stdout}${built.stderr}`).toBe('')
      expect(built.status).toBe(0)

      const ran = federate()
      expect(ran.status, ran.stderr + ran.stdout).toBe(0)
      const { base, oneRound, layers } = JSON.parse(ran.stdout) as { base: number; oneRound: number; layers: number }
      expect(base).toBeGreaterThan(5)
      expect(oneRound).toBeLessThan(base - 0.05)
      expect(layers).toBe(4)
      expect(existsSync(join(project, 'adapter', 'adapter_model.safetensors'))).toBe(true)
      expect(JSON.parse(readFileSync(join(project, 'run', 'plan.json'), 'utf8'))).toMatchObject({ version: 1 })
    },
    8 * minutes,
  )

  it('puts the command line into node_modules/.bin', () => {
    const bin = join(project, 'node_modules', '.bin', 'oneround')
    expect(command(bin, ['--help'], project)).toContain('simulate')
  })
})
