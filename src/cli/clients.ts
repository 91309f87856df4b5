/** How a command's data becomes clients: by its files, a field, or dealt out. */
import type { Dataset } from '../data/dataset.js'
import { isDealt, parseSplit } from '../data/partition.js'
import { OneroundError } from '../errors.js'

/** The fields that clients or the shown shares are made of: kept even where the template uses them. */
export function fieldsOf(by: string | undefined, label: string | undefined): string[] {
  const rule = by === undefined ? undefined : parseSplit(by)
  return [rule !== undefined && 'field' in rule ? rule.field : undefined, label].filter((field) => field !== undefined)
}

/** `dirichlet:0.5` takes its field from --label. */
export function splitOf({ split, label }: { split?: string; label?: string }): string | undefined {
  return split !== undefined && /^dirichlet:[^:]*$/.test(split) && label !== undefined ? `${split}:${label}` : split
}

/** The clients' parts. Where examples are dealt, so are given names, in their order; otherwise the data names the clients. */
export function divide(
  all: Dataset,
  split: string | undefined,
  names: readonly string[] | undefined,
  seed: number,
): Record<string, Dataset> {
  const by = split ?? (all.files.length > 1 ? 'file' : undefined)
  if (by === undefined) {
    throw new OneroundError('ARGUMENT', 'One file of data, and no rule that makes clients of it', {
      found: 'no --split',
      expected: 'iid, dirichlet:ALPHA, quantity:S, file or field:NAME, or a file for each client',
      fix: 'Add, for example, --split iid --clients 10.',
    })
  }
  const given = names?.length === 0 ? undefined : names
  if (!isDealt(parseSplit(by))) {
    const parts = all.split(by, { seed })
    if (given !== undefined) checkNames(given, Object.keys(parts))
    return parts
  }
  const only = given?.length === 1 && /^[0-9]+$/.test(given[0] ?? '') ? Number(given[0]) : undefined
  const count = only ?? given?.length
  const parts = Object.entries(all.split(by, { ...(count === undefined ? {} : { clients: count }), seed }))
  if (only !== undefined || given === undefined) return Object.fromEntries(parts)
  return Object.fromEntries(parts.map(([name, data], at) => [given[at] ?? name, data]))
}

function checkNames(given: readonly string[], found: readonly string[]): void {
  const missing = given.filter((name) => !found.includes(name))
  const extra = found.filter((name) => !given.includes(name))
  if (missing.length === 0 && extra.length === 0) return
  throw new OneroundError('MISMATCH', 'The data does not hold the clients that were named', {
    found: found.join(', '),
    expected: given.join(', '),
    fix: 'Name the clients as the data does (files by their names without ending), or leave --clients out.',
  })
}
