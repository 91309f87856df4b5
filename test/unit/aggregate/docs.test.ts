import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { type AggregateMethod, methodTable } from '../../../src/aggregate/table.js'
import { repository } from '../architecture/rooms.js'

/** The two tables of docs/aggregation.md. A failure of this test shows what should stand there. */
function methodsMarkdown(): string {
  const yes = (value: boolean) => (value ? 'yes' : 'no')
  const names = Object.keys(methodTable) as AggregateMethod[]
  const what = names.map((name) => {
    const { rule, exact, mixedRanks, sumsOnly, fromDenseSum, options, source } = methodTable[name]
    const read = options.length === 0 ? '' : options.map((option) => `\`${option}\``).join(', ')
    return `| \`${name}\` | ${rule} | ${yes(exact)} | ${yes(mixedRanks)} | ${yes(sumsOnly)} | ${yes(fromDenseSum)} | ${read} | ${source} |`
  })
  const costs = names.map((name) => {
    const { cost, memory, rankOut } = methodTable[name]
    return `| \`${name}\` | ${cost} | ${memory} | ${rankOut} |`
  })
  return [
    '| method | rule | exact | mixed ranks | sums only | from kept sums | reads | source |',
    '|---|---|---|---|---|---|---|---|',
    ...what,
    '',
    '| method | time | memory | rank out |',
    '|---|---|---|---|',
    ...costs,
  ].join('\n')
}

test("docs/aggregation.md holds the table's methods as they are", () => {
  const text = readFileSync(join(repository, 'docs', 'aggregation.md'), 'utf8')
  const [, found] = /<!-- methods -->\n([\s\S]*?)\n<!-- end of methods -->/.exec(text) ?? []
  expect(found).toBe(methodsMarkdown())
})
