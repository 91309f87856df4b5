/** Which examples belong to which client. */
import { createHash } from 'node:crypto'
import { basename, extname } from 'node:path'
import { OneroundError } from '../errors.js'
import { permutation, STREAM } from './random.js'
import { divideByLabel, divideBySize } from './skew.js'

/** What a partitioner may look at. */
interface Divisible {
  source?: string
  fields?: Record<string, string>
}

interface Part {
  client: string
  /** indices of the client's examples, ascending */
  members: number[]
}

const EXPECTED = 'iid, dirichlet:ALPHA:FIELD, quantity:S, file, field:NAME'

/**
 * Disjoint parts that together are the whole, none of them empty, in the order of their names.
 * @throws OneroundError ARGUMENT, NOT_FOUND (a field that a row lacks), UNSUPPORTED (a partition that is not built)
 */
export function partition(
  examples: readonly Divisible[],
  by: string,
  o: { clients?: number | undefined; seed: number },
): Part[] {
  const rule = parseSplit(by)
  if (isDealt(rule)) return deal(examples, rule, by, o)
  if (o.clients !== undefined) {
    throw new OneroundError('ARGUMENT', `The split ${by} finds the clients in the data.`, {
      found: `clients ${o.clients}`,
      expected: 'no number of clients',
      fix: 'Leave the number of clients out, or split by iid, dirichlet or quantity.',
    })
  }
  return rule.kind === 'file' ? divideByFile(examples) : divideByField(examples, rule.field)
}

type Dealt = { kind: 'iid' } | { kind: 'dirichlet'; alpha: number; field: string } | { kind: 'quantity'; s: number }
type SplitRule = Dealt | { kind: 'file' } | { kind: 'field'; field: string }

/** True where the number of clients is chosen, false where the data names them. */
export function isDealt(rule: SplitRule): rule is Dealt {
  return rule.kind !== 'file' && rule.kind !== 'field'
}

/** What a split's words mean. @throws OneroundError UNSUPPORTED, ARGUMENT */
export function parseSplit(by: string): SplitRule {
  if (by === 'iid' || by === 'file') return { kind: by }
  const [kind, value, ...rest] = by.split(':')
  if (kind === 'field' && value !== undefined) return { kind, field: by.slice('field:'.length) }
  if (kind === 'dirichlet') {
    const field = rest.join(':')
    if (field === '') {
      throw new OneroundError('ARGUMENT', 'The split dirichlet needs the field that holds the label.', {
        found: by,
        expected: 'dirichlet:ALPHA:FIELD',
        fix: 'Name it, as in dirichlet:0.5:topic or --split dirichlet:0.5 --label topic.',
      })
    }
    return { kind, alpha: numberOf(by, value, 1e-3, 1e6), field }
  }
  if (kind === 'quantity' && rest.length === 0) return { kind, s: numberOf(by, value, 0, 10) }
  throw new OneroundError('UNSUPPORTED', `The split ${JSON.stringify(by)} is not built.`, {
    found: by,
    expected: EXPECTED,
    fix: `Use one of ${EXPECTED}.`,
  })
}

function numberOf(by: string, text: string | undefined, least: number, most: number): number {
  const value = Number(text)
  if (text !== undefined && text.trim() !== '' && value >= least && value <= most) return value
  throw new OneroundError('ARGUMENT', `The split ${JSON.stringify(by)} has no usable number.`, {
    found: text === undefined || text === '' ? 'none' : text,
    expected: `${least} to ${most}`,
    fix: 'Write it as in dirichlet:0.5:topic or quantity:2.',
  })
}

function deal(
  examples: readonly Divisible[],
  rule: Dealt,
  by: string,
  { clients, seed }: { clients?: number | undefined; seed: number },
): Part[] {
  const count = examples.length
  if (clients === undefined || !Number.isInteger(clients) || clients < 1 || clients > count) {
    throw new OneroundError('ARGUMENT', `The split ${by} needs a number of clients that leaves each an example.`, {
      found: String(clients),
      expected: `a whole number, 1 to ${count}`,
      fix: 'Set the number of clients.',
    })
  }
  const width = String(clients).length
  return membersOf(examples, rule, clients, seed).map((members, i) => ({
    client: `client-${String(i + 1).padStart(width, '0')}`,
    members,
  }))
}

function membersOf(examples: readonly Divisible[], rule: Dealt, clients: number, seed: number): number[][] {
  if (rule.kind === 'quantity') return divideBySize(examples.length, clients, rule.s, seed)
  if (rule.kind === 'dirichlet') {
    const labels = examples.map((example, i) => fieldOf(example, rule.field, i))
    return divideByLabel(labels, clients, rule.alpha, seed)
  }
  const parts: number[][] = Array.from({ length: clients }, () => [])
  // dealt like cards: sizes differ by at most one
  permutation(examples.length, seed, STREAM.iid).forEach((example, place) => {
    parts[place % clients]?.push(example)
  })
  for (const part of parts) part.sort((a, b) => a - b)
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
  return gather(examples, (example, i) => fieldOf(example, field, i))
}

/** @throws OneroundError NOT_FOUND where the example has no value in that field */
export function fieldOf({ fields, source }: Divisible, field: string, index: number): string {
  const value = fields !== undefined && Object.hasOwn(fields, field) ? fields[field] : undefined
  if (value !== undefined && value !== '') return value
  const where = source === undefined ? `example ${index + 1}` : `${source}, example ${index + 1}`
  throw new OneroundError('NOT_FOUND', `${where}: no value in the field ${JSON.stringify(field)} to split by.`, {
    found: Object.keys(fields ?? {}).join(', ') || 'no short field beside those of the template',
    expected: `${field}, a text of 1 to 256 characters or a number`,
    fix: 'Split by a field that every row has; one that the template uses has to be named in keep.',
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
