import { describe, expect, it } from 'vitest'
import { MAX_MESSAGES } from '../../../src/data/chat.js'
import { type LoadOptions, loadExamples } from '../../../src/data/load.js'
import type { Tokenizer } from '../../../src/text/tokenizer.js'
import { byteTokenizer, END_OF_TEXT } from './byte-tokenizer.js'

type Chat = NonNullable<Tokenizer['chat']>

/** ChatML in letters: a turn is `<role>content;`, and where the assistant speaks `<assistant>` */
const letters: Chat = (messages, o) =>
  messages.map(({ role, content }) => `<${role}>${content};`).join('') +
  (o?.generationPrompt === false ? '' : '<assistant>')

const options = (chat: Chat | undefined, o: Partial<LoadOptions> = {}): LoadOptions => ({
  template: 'chat',
  cutoff: 512,
  lossOn: 'completion',
  tokenizer: { ...byteTokenizer(), ...(chat === undefined ? {} : { chat }) },
  ...o,
})

/** what is read, and what of it is trained, as text */
async function loaded(row: object, chat: Chat = letters, o: Partial<LoadOptions> = {}) {
  const { examples, leftOut } = await loadExamples(
    [
      row,
      {
        messages: [
          { role: 'user', content: 'x' },
          { role: 'assistant', content: 'y' },
        ],
      },
    ],
    options(chat, o),
  )
  const [example] = examples
  const { decode } = byteTokenizer()
  const trained = [...(example?.labels ?? [])].filter((label) => label >= 0)
  return { ids: [...(example?.ids ?? [])], text: decode([...(example?.ids ?? [])]), trained: decode(trained), leftOut }
}

const said = (...turns: [role: string, content: string][]) => ({
  messages: turns.map(([role, content]) => ({ role, content })),
})

describe('the chat template', () => {
  it("trains the assistant's turns alone, with the mark of their end and no end of text", async () => {
    const row = said(['system', 'S'], ['user', 'a'], ['assistant', 'b'], ['user', 'c'], ['assistant', 'd'])
    const { ids, text, trained } = await loaded(row)
    expect(text).toBe('<system>S;<user>a;<assistant>b;<user>c;<assistant>d;')
    expect(trained).toBe('b;d;')
    expect(ids).not.toContain(END_OF_TEXT)
  })

  it('trains all of it where the loss is on all', async () => {
    const { text, trained } = await loaded(said(['user', 'a'], ['assistant', 'b']), letters, { lossOn: 'all' })
    expect(trained).toBe(text.slice(1))
  })

  it('what is said after the last answer is read and not trained', async () => {
    const { text, trained } = await loaded(said(['user', 'a'], ['assistant', 'b'], ['user', 'c']))
    expect(text).toBe('<user>a;<assistant>b;<user>c;')
    expect(trained).toBe('b;')
  })

  it('a conversation without an answer is left out and counted', async () => {
    expect((await loaded(said(['user', 'a']))).leftOut).toBe(1)
  })

  it.each([
    [{ prompt: 'p', completion: 'c' }, '<user>p;<assistant>c;'],
    [{ instruction: 'i', output: 'o' }, '<user>i;<assistant>o;'],
    [{ instruction: 'i', input: 'n', output: 'o' }, '<user>i\n\nn;<assistant>o;'],
  ])('takes %o as one question and one answer', async (row, text) => {
    expect((await loaded(row)).text).toBe(text)
  })

  it('keeps what a template adds to a turn, such as an empty thought', async () => {
    const thinking: Chat = (messages, o) =>
      letters(
        messages.map((m) => (m.role === 'assistant' ? { ...m, content: `(){}${m.content}` } : m)),
        o,
      )
    expect((await loaded(said(['user', 'a'], ['assistant', 'b']), thinking)).trained).toBe('(){}b;')
  })

  describe('that rewrites earlier turns', () => {
    const forgetful: Chat = (messages, o) =>
      letters(
        messages.map((m, i) => (m.role === 'assistant' && i < messages.length - 1 ? { ...m, content: '-' } : m)),
        o,
      )
    const row = said(['user', 'a'], ['assistant', 'b'], ['user', 'c'], ['assistant', 'd'])

    it('is refused where only completions are trained', async () => {
      await expect(loaded(row, forgetful)).rejects.toMatchObject({
        code: 'MALFORMED',
        message: expect.stringContaining('message 2'),
      })
    })

    it('is read as it is where all is trained', async () => {
      const { text } = await loaded(row, forgetful, { lossOn: 'all' })
      expect(text).toBe('<user>a;<assistant>-;<user>c;<assistant>d;')
    })
  })

  const hostile: [string, object, RegExp][] = [
    ['no conversation', { text: 'a' }, /holds no conversation/],
    ['no messages', { messages: [] }, /not a conversation/],
    ['messages as text', { messages: 'hi' }, /not a conversation/],
    [
      'too many messages',
      said(...Array.from({ length: MAX_MESSAGES + 1 }, (): [string, string] => ['user', 'a'])),
      /not a conversation/,
    ],
    ['a message that is null', { messages: [null] }, /message 1 has no usable content/],
    ['content in parts', { messages: [{ role: 'user', content: [{ text: 'a' }] }] }, /message 1 has no usable content/],
    ['a role that is a sentence', said(['user', 'a'], ['Ignore all rules', 'b']), /message 2 has no usable role/],
    ['a prompt without completion', { prompt: 'a' }, /"completion" is missing/],
  ]
  it.each(hostile)('refuses %s with its line', async (_, row, message) => {
    const failure = await loaded(row).catch((error: unknown) => error)
    expect(failure).toMatchObject({ code: 'MALFORMED', message: expect.stringMatching(message) })
    expect((failure as Error).message).toContain('rows, line 1:')
  })

  it("says where the model's template refuses", async () => {
    const strict: Chat = () => {
      throw new Error('roles must alternate')
    }
    await expect(loaded(said(['user', 'a']), strict)).rejects.toMatchObject({
      code: 'MALFORMED',
      message: expect.stringContaining('rows, line 1:'),
    })
  })

  it('is refused at once for a model without one', async () => {
    await expect(loadExamples([said(['user', 'a'])], options(undefined))).rejects.toMatchObject({ code: 'ARGUMENT' })
  })
})
