/**
 * How a row becomes text. Two names and one pattern:
 * - `text`: the field `text`; it has no prompt,
 * - `prompt-completion`: the fields `prompt` and `completion`, joined as they are,
 * - a pattern such as `Question: {question}\nAnswer: {answer}`: braces name fields, `{{` and `}}` are braces. The completion
 *   is the last field and what follows it; blanks right before the last field belong to the completion, because byte-level
 *   tokenizers join a blank to the word after it, and prompt and completion are encoded apart.
 */
import { OneroundError } from '../errors.js'

export interface RenderedRow {
  prompt: string
  completion: string
}

export interface Template {
  /** in order of first use */
  readonly fields: readonly string[]
  /** false: `lossOn: 'completion'` has no meaning */
  readonly hasPrompt: boolean
  /** values come in the order of `fields` */
  render(values: readonly string[]): RenderedRow
}

const NAMED = ['text', 'prompt-completion'] as const

type Part = { literal: string } | { field: number }

/** @throws OneroundError UNSUPPORTED for an unknown name, ARGUMENT for a pattern that cannot be read */
export function parseTemplate(template: string): Template {
  if (template === 'text') {
    return { fields: ['text'], hasPrompt: false, render: ([text = '']) => ({ prompt: '', completion: text }) }
  }
  if (template === 'prompt-completion') {
    return {
      fields: ['prompt', 'completion'],
      hasPrompt: true,
      render: ([prompt = '', completion = '']) => ({ prompt, completion }),
    }
  }
  if (!/[{}]/.test(template)) {
    throw new OneroundError('UNSUPPORTED', `The template ${JSON.stringify(template)} is not known.`, {
      found: template,
      expected: `${NAMED.join(', ')}, or a pattern with fields in braces`,
      fix: `Use one of ${NAMED.join(', ')}, or write a pattern such as "Question: {question}\\nAnswer: {answer}".`,
    })
  }
  return compilePattern(template)
}

function compilePattern(pattern: string): Template {
  const { parts, fields } = parsePattern(pattern)
  const last = parts.findLastIndex((part) => 'field' in part)
  const before = parts[last - 1]
  const blanks = before && 'literal' in before ? (/ *$/.exec(before.literal)?.[0].length ?? 0) : 0
  const join = (some: readonly Part[], values: readonly string[]): string =>
    some.map((part) => ('literal' in part ? part.literal : (values[part.field] ?? ''))).join('')
  return {
    fields,
    hasPrompt: true,
    render(values) {
      const lead = join(parts.slice(0, last), values)
      const cut = lead.length - blanks
      return { prompt: lead.slice(0, cut), completion: lead.slice(cut) + join(parts.slice(last), values) }
    },
  }
}

function parsePattern(pattern: string): { parts: Part[]; fields: string[] } {
  const parts: Part[] = []
  const fields: string[] = []
  let literal = ''
  for (let at = 0; at < pattern.length; at++) {
    const character = pattern[at] as string
    if (character !== '{' && character !== '}') {
      literal += character
    } else if (pattern[at + 1] === character) {
      literal += character
      at++
    } else {
      const end = character === '{' ? pattern.indexOf('}', at) : -1
      const name = pattern.slice(at + 1, end)
      if (end < 0 || name === '' || name.includes('{')) throw badPattern(pattern, `character ${at + 1}: ${character}`)
      if (literal !== '') parts.push({ literal })
      literal = ''
      if (!fields.includes(name)) fields.push(name)
      parts.push({ field: fields.indexOf(name) })
      at = end
    }
  }
  if (literal !== '') parts.push({ literal })
  if (fields.length === 0) throw badPattern(pattern, 'no field')
  return { parts, fields }
}

function badPattern(pattern: string, found: string): OneroundError {
  return new OneroundError('ARGUMENT', `The template pattern ${JSON.stringify(pattern)} cannot be read.`, {
    found,
    expected: 'each { closed by a }, with a field name between them',
    fix: 'Name fields as {field}; write {{ or }} for a brace that is text.',
  })
}
