/**
 * PEFT's rule for rank_pattern and alpha_pattern: a key is a regular expression that must match a layer's whole name,
 * or its end after a dot; the first key that matches counts.
 * Source: huggingface/peft, src/peft/utils/other.py, get_pattern_key.
 */
import { OneroundError } from '../errors.js'

/** Finds the value of the first key that matches a layer; `matchedBy` of the key itself. */
interface PatternTable {
  keyOf(layer: string): string | undefined
}

export function patternTable(keys: readonly string[], what: string): PatternTable {
  const table = keys.map((key) => [key, patternOf(key, what)] as const)
  return { keyOf: (layer) => table.find(([, pattern]) => pattern.test(layer))?.[0] }
}

/**
 * Keys come from files, and a regular expression can be made to run for years. So: short, no look-around, no
 * back-reference, no repeated group, at most two repetitions; that leaves matching cubic in a short name.
 */
function patternOf(key: string, what: string): RegExp {
  const refuse = (found: string): never => {
    throw new OneroundError('UNSUPPORTED', `${what} has a key that is not taken as a pattern: '${key.slice(0, 80)}'.`, {
      found,
      expected:
        'a layer name, its end after a dot, or a short regular expression with at most two of * + ? { }, none after a group',
      fix: 'Name the layers one by one.',
    })
  }
  if (key.length === 0 || key.length > 200) refuse(`${key.length} characters`)
  if (/\(\?/.test(key)) refuse('a group with (?')
  if (/\\[1-9k]/.test(key)) refuse('a back-reference')
  if (/\)\s*[*+?{]/.test(key)) refuse('a repeated group')
  const plain = key.replace(/\\./g, '')
  if ((plain.match(/[*+?{]/g) ?? []).length > 2) refuse('more than two repetitions')
  try {
    return new RegExp(`^(?:.*\\.)?(?:${key})$`)
  } catch {
    return refuse('not a regular expression')
  }
}
