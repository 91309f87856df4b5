import { describe, expect, it } from 'vitest'
import { type Example, makeDataset } from '../../../src/data/dataset.js'
import { clientName, partition } from '../../../src/data/partition.js'
import { sizes } from '../../../src/data/sizes.js'

const example = (id: number, o: Partial<Example> = {}): Example => ({
  ids: Int32Array.of(1, 2, 3),
  labels: Int32Array.of(2, 3, -100),
  id,
  characters: 3,
  ...o,
})
const many = (count: number): Example[] => Array.from({ length: count }, (_, i) => example(i))

describe('iid', () => {
  it.each([
    [10, 1],
    [10, 3],
    [7, 7],
    [101, 10],
  ])('%i examples at %i clients: disjoint, whole, even', (count, clients) => {
    const parts = partition(many(count), 'iid', { clients, seed: 5 })
    expect(parts).toHaveLength(clients)
    expect(parts.flatMap((p) => p.members).sort((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, i) => i))
    const lengths = parts.map((p) => p.members.length)
    expect(Math.max(...lengths) - Math.min(...lengths)).toBeLessThanOrEqual(1)
    for (const { members } of parts) expect(members).toEqual([...members].sort((a, b) => a - b))
  })

  it("is the seed's alone", () => {
    const at = (seed: number) => partition(many(50), 'iid', { clients: 4, seed })
    expect(at(1)).toEqual(at(1))
    expect(at(1)).not.toEqual(at(2))
    // seeds past 32 bits are not folded
    expect(at(1)).not.toEqual(at(1 + 2 ** 32))
  })

  it.each([undefined, 0, 11, 1.5])('refuses %s clients for ten examples', (clients) => {
    expect(() => partition(many(10), 'iid', { clients, seed: 0 })).toThrowError(
      expect.objectContaining({ code: 'ARGUMENT' }),
    )
  })
})

describe('by file and by field', () => {
  const data = makeDataset(
    [
      example(0, { source: 'x/b.jsonl', fields: { topic: 'war & peace' } }),
      example(0, { source: 'x/a.jsonl', fields: { topic: 'tax' }, cut: true }),
      example(1, { source: 'x/b.jsonl', fields: { topic: 'tax' } }),
    ],
    [
      { path: 'x/a.jsonl', sha256: 'aa' },
      { path: 'x/b.jsonl', sha256: 'bb' },
    ],
  )

  it('a file is a client, with its own files and counts', () => {
    const parts = data.split('file', { seed: 0 })
    expect(Object.keys(parts)).toEqual(['a', 'b'])
    expect(parts.a?.files).toEqual([{ path: 'x/a.jsonl', sha256: 'aa' }])
    expect(parts.a?.cut).toBe(1)
    expect(parts.b?.examples).toEqual([data.examples[0], data.examples[2]])
  })

  it('a value is a client', () => {
    const parts = data.split('field:topic', { seed: 0 })
    expect(Object.keys(parts)).toEqual(['tax', 'war-peace'])
    expect(parts.tax?.examples).toEqual([data.examples[1], data.examples[2]])
  })

  it('files of one name take as much of their path as it needs', () => {
    const parts = partition([{ source: 'x/a.jsonl' }, { source: 'y/a.jsonl' }, { source: 'y/b.txt' }], 'file', {
      seed: 0,
    })
    expect(parts.map((p) => p.client)).toEqual(['b', 'x-a.jsonl', 'y-a.jsonl'])
  })

  it('refuses rows without the field, rows without a file, names that fall together, and a number of clients', () => {
    const refusal = (code: string) => expect.objectContaining({ code })
    expect(() => data.split('field:year', { seed: 0 })).toThrowError(refusal('NOT_FOUND'))
    expect(() => data.split('field:toString', { seed: 0 })).toThrowError(refusal('NOT_FOUND'))
    expect(() => partition(many(2), 'file', { seed: 0 })).toThrowError(refusal('NOT_FOUND'))
    expect(() => data.split('file', { seed: 0, clients: 2 })).toThrowError(refusal('ARGUMENT'))
    const same = [{ fields: { f: 'a b' } }, { fields: { f: 'a&b' } }]
    expect(() => partition(same, 'field:f', { seed: 0 })).toThrowError(refusal('ARGUMENT'))
  })

  it.each(['files', 'quantity:2:3', 'sorted:label'])('refuses %s by name', (by) => {
    expect(() => data.split(by, { seed: 0 })).toThrowError(expect.objectContaining({ code: 'UNSUPPORTED', found: by }))
  })

  it('tells sizes', () => {
    expect(sizes(data.split('file', { seed: 0 }))).toEqual([
      { client: 'a', examples: 1, tokens: 2, cut: 1, share: 1 / 3 },
      { client: 'b', examples: 2, tokens: 4, cut: 0, share: 2 / 3 },
    ])
  })
})

describe('client names', () => {
  it.each([
    ['Harry S Truman', 'Harry-S-Truman'],
    ['../../etc/passwd', 'etc-passwd'],
    ['-rf', 'rf'],
    ['__proto__', 'proto__'],
    ['a'.repeat(100), 'a'.repeat(64)],
    ['Émile', 'Emile'],
  ])('%s becomes %s', (value, name) => {
    expect(clientName(value)).toBe(name)
  })

  it.each(['Søren', '北京', '...', 'ø'.repeat(99), `${'a'.repeat(80)}ø`])('%s stays apart from its like', (value) => {
    expect(clientName(value)).toMatch(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/)
    expect(clientName(value)).not.toBe(clientName(`${value}ø`))
  })
})

describe('held out', () => {
  it('is the last fraction', () => {
    const { train, heldOut } = makeDataset(many(10)).heldOut(0.2)
    expect(train.examples.map((e) => e.id)).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
    expect(heldOut.examples.map((e) => e.id)).toEqual([8, 9])
  })

  it('leaves something on both sides, and nothing is held out at 0', () => {
    expect(makeDataset(many(2)).heldOut(0.01).heldOut.count).toBe(1)
    expect(makeDataset(many(2)).heldOut(0.99).train.count).toBe(1)
    expect(makeDataset(many(1)).heldOut(0).heldOut.count).toBe(0)
  })

  it.each([1, -0.1, Number.NaN])('refuses %s', (fraction) => {
    expect(() => makeDataset(many(5)).heldOut(fraction)).toThrowError(expect.objectContaining({ code: 'ARGUMENT' }))
  })

  it('refuses to hold out the only example', () => {
    expect(() => makeDataset(many(1)).heldOut(0.5)).toThrowError(expect.objectContaining({ code: 'ARGUMENT' }))
  })
})
