/** Which examples belong to which client. */
import { createHash } from 'node:crypto'
import { basename, extname } from 'node:path'
import { OneroundError } from '../errors.js'
import { permutation, STREAM } from './random.js'

/** What a partitioner may look at. */
export interface Divisible {
  source?: string
  fields?: Record<string, string>
}

export interface Part {
  client: string
  /** indices of the client's examples, ascending */
  members: number[]
}

const EXPECTED = 'iid, file, field:NAME'

/**
 * Disjoint parts that together are the whole, none of them empty, in the order of their names.
 * @throws OneroundError ARGUMENT, NOT_FOUND (a field that a row lacks), UNSUPPORTED (a partition that is not built)
 */
export function partition(
  examples: readonly Divisible[],
  by: string,
  o: { clients?: number | undefined; seed: number },
): Part[] {
  if (by === 'iid') return divideIid(examples.length, o)
  if (by !== 'file' && !by.startsWith('field:')) {
    throw new OneroundError('UNSUPPORTED', `The split ${JSON.stringify(by)} is not built.`, {
      found: by,
      expected: EXPECTED,
      fix: `Use one of ${EXPECTED}.`,
    })
  }
  if (o.clients !== undefined) {
    throw new OneroundError('ARGUMENT', `The split ${by} finds the clients in the data.`, {
      found: `clients ${o.clients}`,
      expected: 'no number of clients',
      fix: 'Leave the number of clients out, or split by iid.',
    })
  }
  return by === 'file' ? divideByFile(examples) : divideByField(examples, by.slice('field:'.length))
}

function divideIid(count: number, { clients, seed }: { clients?: number | undefined; seed: number }): Part[] {
  if (clients === undefined || !Number.isInteger(clients) || clients < 1 || clients > count) {
    throw new OneroundError('ARGUMENT', 'The split iid needs a number of clients that leaves each an example.', {
      found: String(clients),
      expected: `a whole number, 1 to ${count}`,
      fix: 'Set the number of clients.',
    })
  }
  const width = String(clients).length
  const parts: Part[] = Array.from({ length: clients }, (_, i) => ({
    client: `client-${String(i + 1).padStart(width, '0')}`,
    members: [],
  }))
  // dealt like cards: sizes differ by at most one
  permutation(count, seed, STREAM.iid).forEach((example, place) => {
    parts[place % clients]?.members.push(example)
  })
  for (const part of parts) part.members.sort((a, b) => a - b)
  return parts
}

function divideByFile(examples: readonly Divisible[]): Part[] {
  const stem = (file: string): string => basename(file, extname(file))
  const files = new Set<string>()
  for (const [i, { source }] of examples.entries()) {
    if (source === undefined) {
      throw new OneroundError('NOT_FOUND', 'The split file needs examples that were read from files.', {
        found: `example ${i + 1} was given in memory`,
        expected: 'files',
        fix: 'Split by iid or by field, or give files.',
      })
    }
    files.add(source)
  }
  const stems = [...files].map(stem)
  // a.jsonl beside a.txt, or one name in two folders: as much of the path as it takes
  const names = new Map(
    [...files].map((file) => [file, stems.filter((s) => s === stem(file)).length > 1 ? file : stem(file)]),
  )
  return gather(examples, ({ source }) => names.get(source as string) as string)
}

function divideByField(examples: readonly Divisible[], field: string): Part[] {
  return gather(examples, ({ fields, source }, i) => {
    const value = fields !== undefined && Object.hasOwn(fields, field) ? fields[field] : undefined
    if (value !== undefined && value !== '') return value
    const where = source === undefined ? `example ${i + 1}` : `${source}, example ${i + 1}`
    throw new OneroundError('NOT_FOUND', `${where}: no value in the field ${JSON.stringify(field)} to split by.`, {
      found: Object.keys(fields ?? {}).join(', ') || 'no short field beside those of the template',
      expected: `${field}, a text of 1 to 256 characters or a number`,
      fix: 'Split by a field that every row has and that the template does not use.',
    })
  })
}

function gather(examples: readonly Divisible[], nameOf: (example: Divisible, index: number) => string): Part[] {
  const parts = new Map<string, { name: string; members: number[] }>()
  examples.forEach((example, i) => {
    const name = nameOf(example, i)
    const client = clientName(name)
    const part = parts.get(client) ?? { name, members: [] }
    if (part.name !== name) {
      throw new OneroundError('ARGUMENT', `Two clients would have the name ${client}.`, {
        found: `${JSON.stringify(part.name)} and ${JSON.stringify(name)}`,
        expected: 'names that differ in letters or digits',
        fix: 'Rename one of them.',
      })
    }
    part.members.push(i)
    parts.set(client, part)
  })
  return [...parts].map(([client, { members }]) => ({ client, members })).sort((a, b) => (a.client < b.client ? -1 : 1))
}

/**
 * A value as a client's name, which becomes part of file names: A-Z a-z 0-9 . _ - from a letter or digit on, at most 64, as
 * the plan wants it. Accents are dropped; where other letters are, six digits of the value's SHA-256 keep names apart.
 */
export function clientName(value: string): string {
  const plain = value.normalize('NFKD').replace(/\p{M}+/gu, '')
  const name = plain
    .replace(/[^A-Za-z0-9._-]+/g, '-')
    .replace(/^[^A-Za-z0-9]+|-+$/g, '')
    .slice(0, 64)
  const lost = /[^\p{ASCII}]/u.test(plain.replace(/[^\p{L}\p{N}]/gu, ''))
  if (name !== '' && !lost) return name
  const digest = createHash('sha256').update(value).digest('hex').slice(0, 6)
  return `${name.slice(0, 57) || 'client'}-${digest}`
}
