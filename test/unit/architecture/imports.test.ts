import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { circle, cppDoors, type Door, filesBelow, repository, typescriptDoors, wrongDoors } from './rooms.js'

/** From the top: a room may import from its own storey and from those below. */
const typescriptOrder = [
  ['cli'],
  ['index'],
  ['runtime'],
  ['report'],
  ['diagnose'],
  ['federation'],
  ['valuation'],
  ['aggregate', 'train', 'evaluate'],
  ['update'],
  ['adapter', 'data'],
  ['model', 'text'],
  ['run', 'native'],
  ['errors'],
]

const cppOrder = [
  ['addon'],
  ['bind'],
  ['train', 'infer', 'measure', 'aggregate', 'convert'],
  ['models'],
  ['ops'],
  ['kernels'],
  ['engine'],
]

describe('the TypeScript rooms', () => {
  const doors = typescriptDoors('src')

  it('import downwards only', () => {
    expect(doors.length).toBeGreaterThan(50)
    expect(wrongDoors(doors, typescriptOrder)).toEqual([])
  })

  it('never import each other in a circle', () => {
    expect(circle(doors)).toBeUndefined()
  })

  it('reach the addon through native/ only', () => {
    const others = filesBelow('src', ['.ts']).filter((file) => !file.startsWith('native/'))
    const direct = others.filter((file) => /\.node\b['"]/.test(readFileSync(join(repository, 'src', file), 'utf8')))
    expect(direct).toEqual([])
  })
})

describe('the C++ rooms', () => {
  // reference/ is the tests' own arithmetic, not part of the house.
  const doors = cppDoors('native').filter(({ from }) => from !== 'reference')

  it('include downwards only, and never the reference of the tests', () => {
    expect(doors.length).toBeGreaterThan(50)
    expect(wrongDoors(doors, cppOrder)).toEqual([])
  })

  it('never include each other in a circle', () => {
    expect(circle(doors)).toBeUndefined()
  })

  it('know N-API in bind/ and the export table only', () => {
    const others = filesBelow('native', ['.cc', '.h']).filter(
      (file) => !file.startsWith('bind/') && file !== 'addon.cc',
    )
    const knowing = others.filter((file) =>
      /#\s*include\s*<(napi|node_api|js_native_api|node|v8|uv)\.h>/.test(
        readFileSync(join(repository, 'native', file), 'utf8'),
      ),
    )
    expect(knowing).toEqual([])
  })
})

describe('these checks', () => {
  const door = (file: string, target: string): Door => ({
    file,
    target,
    from: file.split('/')[0]!,
    to: target.split('/')[0]!,
  })

  it('see an import that leads upwards, and a room that the order does not know', () => {
    expect(wrongDoors([door('update/a.ts', 'train/b.js')], typescriptOrder)).toEqual(['update/a.ts imports train/b.js'])
    expect(wrongDoors([door('attic/a.ts', 'run/b.js')], typescriptOrder)).toHaveLength(1)
    expect(wrongDoors([door('train/a.ts', 'update/b.js')], typescriptOrder)).toEqual([])
  })

  it('see a circle through rooms of one storey', () => {
    const oneWay = [door('model/a.ts', 'text/b.js')]
    expect(circle(oneWay)).toBeUndefined()
    expect(circle([...oneWay, door('text/c.ts', 'model/d.js')])).toEqual(['model', 'text', 'model'])
  })
})
