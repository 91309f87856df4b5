/**
 * A function that the compiler emits weakly (an inline function, a template of the standard library) may be taken by
 * the linker from any object that has it. Taken from an AVX-512 object it would crash older machines. So a kernel
 * library may define only names of its own namespace, and may call nothing that the processor chooses at run time.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { repository } from './rooms.js'

interface Symbol {
  /** nm's letter: U undefined, lower case local, W and V weak */
  kind: string
  name: string
}

function readSymbols(listing: string): Symbol[] {
  return listing.split('\n').flatMap((line) => {
    const match = /^(?:[0-9a-f]+)?\s+([A-Za-z])\s+(.+)$/.exec(line)
    return match === null ? [] : [{ kind: match[1]!, name: match[2]! }]
  })
}

/** Names that the linker could take for another object and that are not of this set's own namespace. */
function leaks(symbols: readonly Symbol[], isa: string): string[] {
  // The one door of a library is the function that hands out its table: oneround::kernels_<isa>().
  const own = new RegExp(
    `^((vtable|typeinfo|typeinfo name|guard variable) for )?oneround::(${isa}::|kernels_${isa}\\(\\)$)`,
  )
  return symbols
    .filter(({ kind, name }) => /[A-TV-Zuvw]/.test(kind) && kind !== 'w' && kind !== 'v' && !own.test(name))
    .map(({ kind, name }) => `${kind} ${name}`)
}

/** libm's functions pick their code by the processor, so that their last bit may differ from machine to machine. */
const libm = /^_?(exp|exp2|expm1|log|log2|log10|log1p|pow|sin|cos|sincos|tan|tanh|erf|cbrt|hypot)f?(@.*)?$/

const nm = spawnSync('nm', ['--version']).error === undefined
const sets = process.arch === 'x64' ? ['scalar', 'avx2', 'avx512', 'avx512bf16'] : ['scalar']

describe.skipIf(!nm)('the kernel libraries', () => {
  it.each(sets)('of %s export nothing but their own namespace', (isa) => {
    const library = join(repository, 'build', 'Release', `kernels_${isa}.a`)
    expect(existsSync(library), `${library} is built by npm run build:addon`).toBe(true)
    const symbols = readSymbols(execFileSync('nm', ['-C', library], { encoding: 'utf8' }))
    expect(symbols.some(({ kind, name }) => kind === 'T' && name.startsWith(`oneround::${isa}::`))).toBe(true)
    expect(leaks(symbols, isa)).toEqual([])
    expect(symbols.filter(({ kind, name }) => kind === 'U' && libm.test(name))).toEqual([])
  })

  it.runIf(process.platform === 'linux')('leave the addon with the two names that Node looks for', () => {
    const addon = join(repository, 'build', 'Release', 'oneround.node')
    const symbols = readSymbols(execFileSync('nm', ['-D', '--defined-only', addon], { encoding: 'utf8' }))
    expect(
      symbols
        .filter(({ kind }) => kind === 'T')
        .map(({ name }) => name)
        .sort(),
    ).toEqual(['napi_register_module_v1', 'node_api_module_get_api_version_v1'])
  })
})

describe('this check', () => {
  it('sees a weak function of the standard library and a name of another set', () => {
    const listing = [
      '0000000000000000 T oneround::kernels_avx512()',
      '0000000000000000 T oneround::kernels_avx2()',
      '0000000000000000 T oneround::avx512::matmul(float const*)',
      '0000000000000000 W std::vector<int, std::allocator<int> >::~vector()',
      '0000000000000010 T oneround::avx2::matmul(float const*)',
      '0000000000000020 t oneround::avx512::(anonymous namespace)::local()',
      '                 U memcpy',
      '0000000000000000 u some::shared',
    ].join('\n')
    expect(leaks(readSymbols(listing), 'avx512')).toEqual([
      'T oneround::kernels_avx2()',
      'W std::vector<int, std::allocator<int> >::~vector()',
      'T oneround::avx2::matmul(float const*)',
      'u some::shared',
    ])
  })
})
