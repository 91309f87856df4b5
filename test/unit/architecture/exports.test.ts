import { describe, expect, it } from 'vitest'
import { allSources, unusedExports } from './exports.js'

describe('an export of src/', () => {
  it('has a user outside its file', () => {
    const sources = allSources()
    expect(sources.length).toBeGreaterThan(300)
    expect(unusedExports(sources)).toEqual([])
  })
})

describe('this check', () => {
  const user = (text: string) => ({ file: 'test/unit/a.test.ts', text })
  const source = {
    file: 'src/room/a.ts',
    text: 'export const one = 1, { two, at: [three] } = f()\nexport interface Four {}\nexport function five() {}\nconst six = 6\nexport { six }\nexport type { Seven } from "./b.js"',
  }

  it('sees values, types and functions that nobody takes', () => {
    const names = ['one', 'two', 'three', 'Four', 'five', 'six'].map((name) => `src/room/a.ts: ${name}`)
    expect(unusedExports([source])).toEqual(names)
  })

  it('sees who takes a name under another one, passes it on, or takes it from dist/', () => {
    const takes = [
      user("import { one as other, type Four } from '../../src/room/a.js'"),
      { file: 'src/index.ts', text: "export { five } from './room/a.js'" },
      { file: 'benchmarks/a.mjs', text: "import { two, three } from '../dist/room/a.js'" },
    ]
    expect(unusedExports([source, ...takes])).toEqual(['src/room/a.ts: six'])
  })

  it('lets all names go that are taken together', () => {
    expect(unusedExports([source, user("import * as all from '../../src/room/a.js'")])).toEqual([])
    expect(unusedExports([source, user("const { one } = await import('../../src/room/a.js')")])).toEqual([])
  })
})
