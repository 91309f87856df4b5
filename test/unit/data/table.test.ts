import { createHash } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { MAX_LINE_BYTES } from '../../../src/data/lines.js'
import { type LoadOptions, loadExamples } from '../../../src/data/load.js'
import { MAX_COLUMNS } from '../../../src/data/table.js'
import { byteTokenizer } from './byte-tokenizer.js'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'oneround-table-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const tokenizer = byteTokenizer({ end: false })
async function file(name: string, content: string | Uint8Array): Promise<string> {
  const path = join(folder, name)
  await writeFile(path, content)
  return path
}
const load = (path: string, o: Partial<LoadOptions> = {}) =>
  loadExamples(path, { template: '{q}={a}', cutoff: 512, lossOn: 'all', tokenizer, ...o })
async function texts(path: string, o: Partial<LoadOptions> = {}): Promise<string[]> {
  return (await load(path, o)).examples.map(({ ids }) => tokenizer.decode([...ids]))
}

describe('CSV', () => {
  it('takes quotes, separators and line ends in cells, CRLF and a byte order mark', async () => {
    const content = '\ufeffq,a,topic\r\n"x, ""y""",1,t\r\n\r\n"two\r\nlines",2,\r\nlast,3,u'
    const path = await file('good.csv', content)
    const data = await load(path)
    expect(await texts(path)).toEqual(['x, "y"=1', 'two\nlines=2', 'last=3'])
    expect(data.examples.map((example) => example.fields)).toEqual([{ topic: 't' }, { topic: '' }, { topic: 'u' }])
    expect(data.files[0]?.sha256).toBe(createHash('sha256').update(content).digest('hex'))
  })

  it('without a line of names takes those that are given', async () => {
    const path = await file('bare.csv', 'x,1\ny,2\n')
    expect(await texts(path, { columns: ['q', 'a'] })).toEqual(['x=1', 'y=2'])
  })

  it('of many rows loses none', async () => {
    const rows = Array.from({ length: 2000 }, (_, i) => `"r ${i}",${i}`)
    const path = await file('many.csv', `q,a\n${rows.join('\n')}\n`)
    expect(await texts(path)).toEqual(Array.from({ length: 2000 }, (_, i) => `r ${i}=${i}`))
  })

  const hostile: [string, string | Uint8Array, number, string][] = [
    ['a row with too few cells', 'q,a\nx,1\ny\n', 3, '1 cell'],
    ['a row with too many cells', 'q,a\nx,1,2\n', 2, '3 cells'],
    ['a quote that is not closed', 'q,a\n"x,1\ny,2\n', 3, 'not closed'],
    ['a quote inside a bare cell', 'q,a\nx"y",1\n', 2, 'quote'],
    ['text after a closing quote', 'q,a\n"x"y,1\n', 2, 'quote'],
    ['a column without a name', 'q,,a\nx,1,2\n', 1, 'column 2'],
    ['a column twice', 'q,a,q\nx,1,2\n', 1, 'column 3'],
    ['too many columns', `${Array.from({ length: MAX_COLUMNS + 1 }, (_, i) => `c${i}`).join(',')}\n`, 1, 'names'],
    ['a missing column', 'q,b\nx,1\n', 2, 'q, b'],
    ['bytes that are not UTF-8', Buffer.from([0x71, 0x2c, 0x61, 0x0a, 0xff, 0x2c, 0x31, 0x0a]), 2, 'UTF-16'],
    [
      'a cell that never ends',
      `q,a\n"${`${'x'.repeat(1023)}\n`.repeat(MAX_LINE_BYTES / 1024 + 2)}`,
      0,
      `${MAX_LINE_BYTES}`,
    ],
  ]
  it.each(hostile)('refuses %s with file and line', async (name, content, line, found) => {
    const path = await file(`${name}.csv`, content)
    const failure = await load(path).catch((error: unknown) => error)
    expect(failure).toMatchObject({ code: 'MALFORMED', found: expect.stringContaining(found) })
    expect((failure as Error).message).toContain(line === 0 ? `${path}, line ` : `${path}, line ${line}:`)
  })

  it('never quotes a cell in its refusal', async () => {
    const path = await file('private.csv', 'q,a\n"a secret" diagnosis,1\n')
    const { message, found, cause } = (await load(path).catch((error: unknown) => error)) as Error & { found: string }
    expect(`${message} ${found} ${String(cause)}`).not.toMatch(/secret|diagnosis/)
  })

  it('refuses names that the first line has already', async () => {
    const path = await file('twice.csv', 'q,a\nx,1\n')
    await expect(load(path, { columns: ['q', 'a'] })).rejects.toMatchObject({ code: 'MALFORMED' })
  })

  it.each([[[]], [['q', 'q']], [['q', ' ']]])('refuses the names %j', async (columns) => {
    const path = await file('names.csv', 'x,1\n')
    await expect(load(path, { columns })).rejects.toMatchObject({ code: 'ARGUMENT' })
  })
})

describe('TSV', () => {
  it('has no quoting', async () => {
    expect(await texts(await file('good.tsv', 'q\ta\n"x\t1\ny"z"\t2\n'))).toEqual(['"x=1', 'y"z"=2'])
  })

  it('refuses another number of cells', async () => {
    await expect(load(await file('bad.tsv', 'q\ta\nx\n'))).rejects.toMatchObject({ code: 'MALFORMED' })
  })
})

describe('JSON', () => {
  it.each([
    ['a list', '[{"q":"x","a":"]},{\\"["},\n {"q":"y","a":2}]\n'],
    ['one after another', '{"q":"x","a":"]},{\\"["}\n\n{"q":"y","a":2}'],
    ['a list with a byte order mark', '\ufeff[\n{"q":"x","a":"]},{\\"["}\t,{"q":"y","a":2}\r\n]'],
  ])('takes %s', async (name, content) => {
    expect(await texts(await file(`${name}.json`, content))).toEqual(['x=]},{"[', 'y=2'])
  })

  it('takes a list that lies across many reads, nested values and all', async () => {
    const rows = Array.from({ length: 1500 }, (_, i) => ({ q: `é${i}`.repeat(20), a: i, meta: { tags: ['[', '}'] } }))
    const path = await file('long.json', JSON.stringify(rows, null, 1))
    expect(await texts(path)).toEqual(rows.map(({ q, a }) => `${q}=${a}`))
  })

  const good = '{"q":"x","a":1}'
  const hostile: [string, string | Uint8Array, number][] = [
    ['a value that is no list', '7', 1],
    ['a list of texts', '["x"]', 1],
    ['a list in a list', `[\n[${good}]]`, 2],
    ['a comma too many', `[${good},\n]`, 2],
    ['no comma', `[${good}\n${good}]`, 2],
    ['a truncated list', `[${good},\n${good}`, 2],
    ['a truncated row', `[${good},\n{"q":"x`, 2],
    ['something after the list', `[${good}]\n${good}`, 2],
    ['brackets that do not fit', `[${good},\n{"q":[}}]`, 2],
    [
      'a row that is not UTF-8',
      Buffer.concat([Buffer.from(`[${good},\n{"q":"`), Buffer.from([0xff]), Buffer.from('"}]')]),
      2,
    ],
    ['a huge row', `[${good},\n{"q":"${'x'.repeat(MAX_LINE_BYTES)}"}]`, 2],
    ['a row without the field', `[${good},\n{"q":"x"}]`, 2],
  ]
  it.each(hostile)('refuses %s with file and line', async (name, content, line) => {
    const path = await file(`${name}.json`, content)
    const failure = await load(path).catch((error: unknown) => error)
    expect(failure).toMatchObject({ code: 'MALFORMED' })
    expect((failure as Error).message).toContain(`${path}, line ${line}:`)
  })
})
