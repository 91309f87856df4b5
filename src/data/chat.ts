/**
 * Conversations in the words of the model's own chat template. A row holds `messages` (a list of { role, content }), or
 * `prompt` and `completion`, or `instruction`, `input` (optional) and `output`: the latter two are one question and one answer.
 *
 * Which text is an assistant's turn is found by rendering prefixes of the conversation: a turn is what its prefix has more
 * than the prefix before it, which ends where the assistant speaks. It holds the template's mark for the end of a turn, so
 * that a model learns to stop; no end-of-text token is added.
 */
import { OneroundError } from '../errors.js'
import type { ChatMessage, Tokenizer } from '../text/tokenizer.js'
import { kindOf, type Row } from './row.js'
import type { Segment, Template } from './templates.js'

/** Prefixes are rendered for every turn, so the work grows with the square of this. */
export const MAX_MESSAGES = 256

/** names, not text: a template may put a role into what it says */
const ROLE = /^[a-z][a-z_-]{0,31}$/

export const chat: Template = {
  fields: ['messages', 'prompt', 'completion', 'instruction', 'input', 'output'],
  wanted: 'the field messages, or the fields prompt and completion, or instruction and output',
  hasPrompt: true,
  endOfText: false,
  needsChat: true,
  render(row, { chat: words, lossOn }) {
    if (words === undefined) throw noChatTemplate()
    return segments(conversation(row), words, lossOn, row)
  },
}

export function noChatTemplate(): OneroundError {
  return new OneroundError('ARGUMENT', 'The template chat needs a model that has a chat template.', {
    found: "a base without one in its tokenizer's files",
    expected: 'chat_template.jinja, chat_template in tokenizer_config.json, or tokenizer.chat_template in a GGUF file',
    fix: 'Use an instruction-tuned base, or another template such as alpaca.',
  })
}

function conversation(row: Row): ChatMessage[] {
  if (row.has('messages')) return messages(row)
  if (row.has('prompt') || row.has('completion')) return exchange(row.text('prompt'), row.text('completion'))
  if (row.has('instruction') || row.has('output')) {
    const input = row.has('input') ? row.text('input') : ''
    const instruction = row.text('instruction')
    return exchange(input === '' ? instruction : `${instruction}\n\n${input}`, row.text('output'))
  }
  throw row.refusal('the row holds no conversation', {
    found: `the fields ${row.names() || '(none)'}`,
    expected: chat.wanted,
  })
}

function exchange(question: string, answer: string): ChatMessage[] {
  return [
    { role: 'user', content: question },
    { role: 'assistant', content: answer },
  ]
}

function messages(row: Row): ChatMessage[] {
  const list = row.value('messages')
  if (!Array.isArray(list) || list.length === 0 || list.length > MAX_MESSAGES) {
    throw row.refusal('the field "messages" is not a conversation', {
      found: Array.isArray(list) ? `a list of ${list.length}` : kindOf(list),
      expected: `a list of 1 to ${MAX_MESSAGES} messages, each with role and content`,
    })
  }
  return list.map((message: unknown, i) => {
    const { role, content } = typeof message === 'object' && message !== null ? (message as Partial<ChatMessage>) : {}
    if (typeof role === 'string' && ROLE.test(role) && typeof content === 'string') return { role, content }
    const wrong = typeof content === 'string' ? 'role' : 'content'
    throw row.refusal(`message ${i + 1} has no usable ${wrong}`, {
      found: kindOf(wrong === 'role' ? role : content),
      expected: 'a role such as system, user or assistant, and content that is text',
    })
  })
}

function segments(
  said: readonly ChatMessage[],
  words: NonNullable<Tokenizer['chat']>,
  lossOn: 'all' | 'completion',
  row: Row,
): Segment[] {
  const rendered = (count: number, generationPrompt: boolean): string => {
    try {
      return words(said.slice(0, count), { generationPrompt })
    } catch (cause) {
      // Template errors are the template's own words, e.g. that roles must alternate.
      const found = cause instanceof OneroundError ? cause.found : undefined
      throw row.refusal("the model's chat template refuses the conversation", {
        found: (found ?? 'an error while it was rendered').slice(0, 200),
        expected: 'roles in the order that the model was trained on',
      })
    }
  }
  const whole = rendered(said.length, false)
  const out: Segment[] = []
  let at = 0
  for (const [i, { role }] of said.entries()) {
    if (role !== 'assistant') continue
    const before = rendered(i, true)
    const through = i + 1 === said.length ? whole : rendered(i + 1, false)
    if (before.length < at || !through.startsWith(before) || !whole.startsWith(through)) {
      if (lossOn === 'all') return [{ text: whole, completion: true }]
      throw rewrites(row, i)
    }
    if (before.length > at) out.push({ text: whole.slice(at, before.length), completion: false })
    out.push({ text: whole.slice(before.length, through.length), completion: true })
    at = through.length
  }
  if (at < whole.length) out.push({ text: whole.slice(at), completion: false })
  return out
}

function rewrites(row: Row, turn: number): OneroundError {
  return row.refusal(`the model's chat template words message ${turn + 1} differently once others follow`, {
    found: 'a template that rewrites earlier turns',
    expected: 'turns that stay as they were said',
    fix: 'End the conversation at that message and give later turns rows of their own, or take the loss on all.',
  })
}
