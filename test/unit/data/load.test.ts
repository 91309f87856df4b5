import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { MAX_LINE_BYTES } from '../../../src/data/lines.js'
import { type LoadOptions, loadExamples } from '../../../src/data/load.js'
import { byteTokenizer, END_OF_TEXT } from './byte-tokenizer.js'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'oneround-data-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const options = (o: Partial<LoadOptions> = {}): LoadOptions => ({
  template: 'text',
  cutoff: 64,
  lossOn: 'all',
  tokenizer: byteTokenizer(),
  ...o,
})

async function file(name: string, content: string | Uint8Array): Promise<string> {
  const path = join(folder, name)
  await writeFile(path, content)
  return path
}

const bytes = (text: string): number[] => [...new TextEncoder().encode(text)]

describe('labels', () => {
  it('are the next token, the end of text included, and none on the last row', async () => {
    const { examples, tokens } = await loadExamples([{ text: 'abc' }], options())
    expect([...(examples[0]?.ids ?? [])]).toEqual([...bytes('abc'), END_OF_TEXT])
    expect([...(examples[0]?.labels ?? [])]).toEqual([...bytes('bc'), END_OF_TEXT, -100])
    expect(tokens).toBe(3)
  })

  it('with lossOn completion start at the first token of the completion', async () => {
    const rows = [{ prompt: 'ab', completion: 'cd' }]
    const { examples, tokens } = await loadExamples(
      rows,
      options({ template: 'prompt-completion', lossOn: 'completion' }),
    )
    expect([...(examples[0]?.ids ?? [])]).toEqual([...bytes('abcd'), END_OF_TEXT])
    expect([...(examples[0]?.labels ?? [])]).toEqual([-100, ...bytes('cd'), END_OF_TEXT, -100])
    expect(tokens).toBe(3)
  })

  it('need no end-of-text token', async () => {
    const { examples } = await loadExamples([{ text: 'abc' }], options({ tokenizer: byteTokenizer({ end: false }) }))
    expect([...(examples[0]?.labels ?? [])]).toEqual([...bytes('bc'), -100])
  })
})

describe('the cutoff', () => {
  it('cuts a longer row and counts it; a row of its very length is whole', async () => {
    const data = await loadExamples([{ text: 'abc' }, { text: 'abcd' }], options({ cutoff: 4 }))
    expect(data.examples.map((e) => e.ids.length)).toEqual([4, 4])
    expect(data.examples.map((e) => e.cut ?? false)).toEqual([false, true])
    expect(data.cut).toBe(1)
    expect(data.examples[1]?.labels[2]).toBe(bytes('d')[0])
    expect(data.examples[1]?.characters).toBe(4)
  })

  it('leaves out a row whose prompt fills it, and counts it', async () => {
    const rows = [
      { prompt: 'abcdef', completion: 'g' },
      { prompt: 'a', completion: 'b' },
    ]
    const data = await loadExamples(rows, options({ template: 'prompt-completion', lossOn: 'completion', cutoff: 4 }))
    expect(data.count).toBe(1)
    expect(data.leftOut).toBe(1)
    expect(data.examples[0]?.id).toBe(1)
  })
})

describe('JSON Lines', () => {
  it('takes a byte order mark, CRLF, blank lines and a last line without an end', async () => {
    const path = await file('ok.jsonl', '\ufeff{"text":"one"}\r\n\r\n  \n{"text":"two","topic":"x","n":3}')
    const data = await loadExamples(path, options())
    expect(data.examples.map((e) => e.id)).toEqual([0, 1])
    expect(data.examples[1]?.fields).toEqual({ topic: 'x', n: '3' })
    expect(data.examples[0]?.source).toBe(path)
  })

  it('states the digest of the bytes', async () => {
    const content = '{"text":"one"}\r\n'
    const path = await file('digest.jsonl', content)
    const data = await loadExamples(path, options())
    expect(data.files).toEqual([{ path, sha256: createHash('sha256').update(content).digest('hex') }])
  })

  it('fills a pattern from fields; a number is text', async () => {
    const path = await file('pattern.jsonl', '{"question":"1+1?","answer":2}\n')
    const data = await loadExamples(path, options({ template: 'Q: {question}\nA: {answer}', lossOn: 'completion' }))
    expect(data.tokens).toBe(bytes(' 2').length + 1)
  })

  it('takes a line that lies across many reads', async () => {
    const long = 'word '.repeat(200_000)
    const path = await file('long.jsonl', `{"text":"a"}\n${JSON.stringify({ text: long })}\n{"text":"b"}\n`)
    const data = await loadExamples(path, options())
    expect(data.examples.map((e) => e.characters)).toEqual([1, long.length, 1])
  })

  const hostile: [string, string | Uint8Array, number, RegExp][] = [
    ['truncated', '{"text":"one"}\n{"text":"tw', 2, /not JSON/],
    [
      'invalid UTF-8',
      Buffer.concat([Buffer.from('{"text":"a"}\n{"text":"'), Buffer.from([0xc3, 0x28]), Buffer.from('"}\n')]),
      2,
      /not UTF-8/,
    ],
    ['UTF-16', Buffer.from('\ufeff{"text":"a"}\n', 'utf16le'), 1, /not UTF-8/],
    ['NUL bytes', '{"text":"a"}\n\0\0\0\0\n', 2, /not JSON/],
    ['null', '{"text":"a"}\n\nnull\n', 3, /not an object/],
    ['a list', '["text"]\n', 1, /not an object/],
    ['a string', '"text"\n', 1, /not an object/],
    ['a missing field', '{"text":"a"}\n{"txt":"b"}\n', 2, /"text" is missing/],
    ['an inherited field', '{"text":"a"}\n{"__proto__":{"text":"b"}}\n', 2, /"text" is missing/],
    ['a null field', '{"text":null}\n', 1, /"text" is not text/],
    ['a list as field', '{"text":["a"]}\n', 1, /"text" is not text/],
    ['a huge line', `{"text":"a"}\n{"text":"${'x'.repeat(MAX_LINE_BYTES)}"}\n`, 2, /too long/],
    ['a huge line without an end', 'x'.repeat(MAX_LINE_BYTES + 1), 1, /too long/],
  ]
  it.each(hostile)('refuses %s with file and line', async (name, content, line, message) => {
    const path = await file(`${name}.jsonl`, content)
    const failure = await loadExamples(path, options()).catch((error: unknown) => error)
    expect(failure).toMatchObject({ name: 'OneroundError', code: 'MALFORMED', message: expect.stringMatching(message) })
    expect((failure as Error).message).toContain(`${path}, line ${line}:`)
  })

  it('never quotes a row in its refusal', async () => {
    const path = await file('private.jsonl', '{"text":"a secret diagnosis" oops}\n')
    const failure = await loadExamples(path, options()).catch((error: unknown) => error)
    const { message, found, cause } = failure as Error & { found: string }
    expect(`${message} ${found} ${String(cause)}`).not.toContain('diagnosis')
  })

  it('refuses a file of empty rows', async () => {
    const path = await file('empty-rows.jsonl', '{"text":""}\n{"text":""}\n')
    await expect(loadExamples(path, options())).rejects.toMatchObject({
      code: 'MALFORMED',
      found: expect.stringContaining('2 rows'),
    })
  })
})

describe('plain text', () => {
  it('is one document cut into consecutive examples', async () => {
    const path = await file('doc.txt', '\ufeffab\r\ncd\ref')
    const data = await loadExamples(path, options({ cutoff: 3 }))
    // a b LF, c d LF, e f end of text
    expect(data.examples.map((e) => [...e.ids])).toEqual([bytes('ab\n'), bytes('cd\n'), [...bytes('ef'), END_OF_TEXT]])
    expect(data.examples.map((e) => e.id)).toEqual([0, 1, 2])
    expect(data.cut).toBe(0)
  })

  it('loses nothing of a long document', async () => {
    const text = Array.from({ length: 20_000 }, (_, i) => `wörd${i}`).join(' ')
    const path = await file('long.txt', text)
    const tokenizer = byteTokenizer()
    const data = await loadExamples(path, options({ cutoff: 1000, tokenizer }))
    expect(tokenizer.decode(data.examples.flatMap((e) => [...e.ids]))).toBe(text)
  })

  it('is refused where it is not text, or has no fields for the template', async () => {
    const binary = await file('binary.txt', 'a\0b')
    await expect(loadExamples(binary, options())).rejects.toMatchObject({ code: 'MALFORMED', found: 'NUL characters' })
    const broken = await file('broken.txt', Uint8Array.from([0x61, 0xff]))
    await expect(loadExamples(broken, options())).rejects.toMatchObject({ code: 'MALFORMED' })
    const doc = await file('fields.txt', 'abc')
    await expect(loadExamples(doc, options({ template: 'prompt-completion' }))).rejects.toMatchObject({
      code: 'ARGUMENT',
    })
  })
})

describe('sources', () => {
  it('a folder stands for its data files by name', async () => {
    const inside = join(folder, 'clients')
    await mkdir(join(inside, 'sub.jsonl'), { recursive: true })
    await writeFile(join(inside, 'b.txt'), 'bbb')
    await writeFile(join(inside, 'a.jsonl'), '{"text":"aaa"}')
    await writeFile(join(inside, 'LICENSE'), 'not data')
    await writeFile(join(inside, '.hidden.jsonl'), 'not data')
    const data = await loadExamples(inside, options())
    expect(data.files.map((f) => f.path)).toEqual([join(inside, 'a.jsonl'), join(inside, 'b.txt')])
    expect(Object.keys(data.split('file', { seed: 0 }))).toEqual(['a', 'b'])
  })

  it('refuses what is not there, an empty folder, another kind, and a file given twice', async () => {
    const empty = join(folder, 'empty')
    await mkdir(empty)
    const other = await file('data.xlsx', 'PK')
    const twice = await file('twice.jsonl', '{"text":"aaa"}')
    await expect(loadExamples(join(folder, 'no.jsonl'), options())).rejects.toMatchObject({ code: 'NOT_FOUND' })
    await expect(loadExamples(empty, options())).rejects.toMatchObject({ code: 'NOT_FOUND' })
    await expect(loadExamples(other, options())).rejects.toMatchObject({ code: 'UNSUPPORTED', found: '.xlsx' })
    await expect(loadExamples([twice, twice], options())).rejects.toMatchObject({ code: 'ARGUMENT' })
  })

  it('any iterable of objects serves; another row is refused with its number', async () => {
    function* rows(): Iterable<object> {
      yield { text: 'one' }
      yield { text: 'two' }
    }
    expect((await loadExamples(rows(), options())).count).toBe(2)
    await expect(loadExamples([{ text: 'a' }, 7 as unknown as object], options())).rejects.toMatchObject({
      code: 'MALFORMED',
      message: expect.stringContaining('rows, line 2'),
    })
    await expect(loadExamples(null as unknown as object[], options())).rejects.toMatchObject({ code: 'ARGUMENT' })
  })

  it.each([{ cutoff: 1 }, { cutoff: 2.5 }, { lossOn: 'prompt' as 'all' }, { lossOn: 'completion' as const }])(
    'refuses the option %o',
    async (bad) => {
      await expect(loadExamples([{ text: 'abc' }], options(bad))).rejects.toMatchObject({ code: 'ARGUMENT' })
    },
  )
})

describe('the event loop', () => {
  // A clock that only tokenising moves, at about the real tokenizer's speed (300,000 tokens/s, four characters a token):
  // what is measured is the loader's slices, not how busy this machine is.
  let clock = 0
  const slow = {
    ...byteTokenizer(),
    encode: (text: string) => {
      clock += text.length / 1200
      return [...text].map((c) => c.charCodeAt(0) & 127)
    },
  }
  beforeEach(() => {
    clock = 0
    vi.spyOn(performance, 'now').mockImplementation(() => clock)
  })
  afterEach(() => {
    vi.restoreAllMocks()
  })

  async function longestSlice(work: Promise<unknown>): Promise<number> {
    let longest = 0
    let last = clock
    let done = false
    const turn = (): void => {
      longest = Math.max(longest, clock - last)
      last = clock
      if (!done) setImmediate(turn)
    }
    setImmediate(turn)
    await work.finally(() => {
      done = true
    })
    return Math.max(longest, clock - last)
  }

  it('turns at least every 10 ms while a long document is tokenised', async () => {
    const path = await file('slow.txt', 'some words '.repeat(30_000))
    const longest = await longestSlice(loadExamples(path, options({ tokenizer: slow })))
    expect(clock).toBeGreaterThan(200)
    expect(longest).toBeLessThanOrEqual(10)
  })

  it('turns at least every 10 ms while many rows and a huge one are tokenised', async () => {
    const rows = Array.from({ length: 3000 }, () => ({ text: 'some words here '.repeat(10) }))
    rows.push({ text: 'x'.repeat(500_000) })
    const longest = await longestSlice(loadExamples(rows, options({ tokenizer: slow, cutoff: 400_000 })))
    expect(clock).toBeGreaterThan(700)
    expect(longest).toBeLessThanOrEqual(10)
  })

  it('tokenises no more of a huge row than the cutoff needs', async () => {
    await loadExamples([{ text: 'some words '.repeat(100_000) }], options({ tokenizer: slow, cutoff: 100 }))
    expect(clock).toBeLessThan(10)
  })

  it('hears an abort', async () => {
    const controller = new AbortController()
    setImmediate(() => controller.abort())
    const rows = Array.from({ length: 5000 }, () => ({ text: 'some words here '.repeat(20) }))
    const loading = loadExamples(rows, options({ tokenizer: slow, signal: controller.signal }))
    await expect(loading).rejects.toMatchObject({ code: 'ABORTED' })
    expect(clock).toBeLessThan(100)
  })
})
