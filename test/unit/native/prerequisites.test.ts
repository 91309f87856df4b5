import { createRequire } from 'node:module'
import { describe, expect, it } from 'vitest'

interface Surroundings {
  nodeVersion?: string
  platform?: string
  env?: Record<string, string | undefined>
  has?: (command: string, args: string[], input?: string) => boolean
}
const { missing } = createRequire(import.meta.url)('../../../scripts/prerequisites.cjs') as {
  missing: (surroundings?: Surroundings) => string[]
}
const linux = { nodeVersion: '20.11.0', platform: 'linux', env: {}, has: () => true }

describe('the prerequisites of a build', () => {
  it('are all here, or these tests could not run', () => {
    expect(missing()).toEqual([])
  })

  it('say nothing where all is there', () => {
    expect(missing(linux)).toEqual([])
  })

  it.each([
    ['g++', 'a C++20 compiler'],
    ['make', 'make'],
    ['python3', 'Python 3.8'],
  ])('without %s are one sentence that names it and the fix', (absent, words) => {
    const sentences = missing({ ...linux, has: (command) => command !== absent })
    expect(sentences).toHaveLength(1)
    expect(sentences[0]).toContain(words)
    expect(sentences[0]).toContain(`"${absent}"`)
    expect(sentences[0]).toMatch(/install it with/)
  })

  it('tell a compiler that is too old from one that is not there', () => {
    const [sentence, ...rest] = missing({ ...linux, has: (_command, args) => !args.includes('-std=c++20') })
    expect(sentence).toContain('too old')
    expect(rest).toEqual([])
  })

  it('look at the compiler that CXX names, with its flags', () => {
    const asked: string[][] = []
    const has = (command: string, args: string[]) => asked.push([command, ...args]) > 0
    missing({ ...linux, env: { CXX: 'clang++ --target=x86_64-linux-gnu' }, has })
    expect(asked[0]).toEqual(['clang++', '--version'])
    expect(asked[1]?.slice(0, 2)).toEqual(['clang++', '--target=x86_64-linux-gnu'])
  })

  it('refuse Node 18 and Windows by name', () => {
    expect(missing({ ...linux, nodeVersion: '18.20.0' })).toEqual([expect.stringContaining('Node 18.20.0')])
    expect(missing({ ...linux, platform: 'win32' })).toEqual([expect.stringContaining('Windows')])
  })
})
