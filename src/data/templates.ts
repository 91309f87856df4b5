/**
 * How a row becomes text. Names and one pattern:
 * - `text`: the field `text`; it has no prompt,
 * - `prompt-completion`: the fields `prompt` and `completion`, joined as they are,
 * - `alpaca`: the fields `instruction`, `input` (optional) and `output` in Stanford Alpaca's words; see alpaca.ts,
 * - `chat`: a conversation in the words of the model's own chat template; see chat.ts,
 * - a pattern such as `Question: {question}\nAnswer: {answer}`: braces name fields, `{{` and `}}` are braces. The completion
 *   is the last field and what follows it; blanks right before the last field belong to the completion, because byte-level
 *   tokenizers join a blank to the word after it, and prompt and completion are encoded apart.
 */
import { OneroundError } from '../errors.js'
import type { Tokenizer } from '../text/tokenizer.js'
import { alpaca } from './alpaca.js'
import { chat } from './chat.js'
import type { Row } from './row.js'

/** A stretch of a row's text; the segments of a row are encoded apart and laid one after another. */
export interface Segment {
  text: string
  /** is trained where only completions are */
  completion: boolean
}

export interface Template {
  /** that it may read; a row's other short fields can be split by */
  readonly fields: readonly string[]
  /** what a row must have, for refusals: `the fields prompt, completion` */
  readonly wanted: string
  /** false: `lossOn: 'completion'` has no meaning */
  readonly hasPrompt: boolean
  /** whether the tokenizer's end-of-text token follows a row; a chat template closes its turns itself */
  readonly endOfText: boolean
  /** only works with a tokenizer that has a chat template */
  readonly needsChat: boolean
  render(row: Row, o: { chat?: Tokenizer['chat']; lossOn: 'all' | 'completion' }): Segment[]
}

const NAMED = ['text', 'prompt-completion', 'alpaca', 'chat'] as const

/** What most templates are: some fields, a prompt and a completion. */
function plainTemplate(
  fields: readonly string[],
  parts: (row: Row) => { prompt: string; completion: string },
  hasPrompt = true,
): Template {
  return {
    fields,
    wanted: fields.length === 1 ? `the field ${fields[0]}` : `the fields ${fields.join(', ')}`,
    hasPrompt,
    endOfText: true,
    needsChat: false,
    render(row) {
      const { prompt, completion } = parts(row)
      return [
        { text: prompt, completion: false },
        { text: completion, completion: true },
      ]
    },
  }
}

/** @throws OneroundError UNSUPPORTED for an unknown name, ARGUMENT for a pattern that cannot be read */
export function parseTemplate(template: string): Template {
  if (template === 'text') {
    return plainTemplate(['text'], (row) => ({ prompt: '', completion: row.text('text') }), false)
  }
  if (template === 'prompt-completion') {
    return plainTemplate(['prompt', 'completion'], (row) => ({
      prompt: row.text('prompt'),
      completion: row.text('completion'),
    }))
  }
  if (template === 'alpaca') return alpaca
  if (template === 'chat') return chat
  if (!/[{}]/.test(template)) {
    throw new OneroundError('UNSUPPORTED', `The template ${JSON.stringify(template)} is not known.`, {
      found: template,
      expected: `${NAMED.join(', ')}, or a pattern with fields in braces`,
      fix: `Use one of ${NAMED.join(', ')}, or write a pattern such as "Question: {question}\\nAnswer: {answer}".`,
    })
  }
  return compilePattern(template)
}

type Part = { literal: string } | { field: number }

function compilePattern(pattern: string): Template {
  const { parts, fields } = parsePattern(pattern)
  const last = parts.findLastIndex((part) => 'field' in part)
  const before = parts[last - 1]
  const blanks = before && 'literal' in before ? (/ *$/.exec(before.literal)?.[0].length ?? 0) : 0
  const join = (some: readonly Part[], values: readonly string[]): string =>
    some.map((part) => ('literal' in part ? part.literal : (values[part.field] ?? ''))).join('')
  return plainTemplate(fields, (row) => {
    const values = fields.map((field) => row.text(field))
    const lead = join(parts.slice(0, last), values)
    const cut = lead.length - blanks
    return { prompt: lead.slice(0, cut), completion: lead.slice(cut) + join(parts.slice(last), values) }
  })
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
